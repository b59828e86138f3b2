"""Contenders in processes of their own: what they say, what stops them, and the four figures."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace

import pytest

from infinipot_v.bench import weighing
from infinipot_v.bench.child import Task
from infinipot_v.bench.memory import Contender, contenders
from infinipot_v.bench.plan import Plan
from infinipot_v.bench.runner import begin, run
from infinipot_v.bench.subject import Sizes
from infinipot_v.bench.timing import TimeUp
from infinipot_v.bench.weighing import MEMORY

SIZES = Sizes(budgets=(120, 60), seen=(240, 480), answer_seen=1)
LIMITED = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")


def task(contender: Contender, **changes: object) -> Task:
    made = Task("tiny-qwen2_vl", "cpu", None, 1, SIZES, contender, 2**33, None)
    return replace(made, **changes)


def test_a_task_survives_the_way_to_a_child():
    first = contenders(SIZES)[0]
    assert Task.read(task(first).as_json) == task(first)


def test_rows_of_processes_and_the_four_figures():
    plan = Plan.of(MEMORY, ("tiny-qwen2_vl",), sizes=replace(SIZES, budgets=(60,), seen=(480,)), threads=1, limit=2**33)
    result = begin(plan, None)
    assert run(plan, result), result.unfinished
    rows = {row.name.removeprefix("tiny-qwen2_vl/memory/"): row for row in result.rows}
    names = ("ours-60", "one-shot-last-logits", "one-shot-all-logits", "chunked", "full")
    for name in names:
        assert rows[f"{name}/480/peak"].median > rows[f"{name}/before"].median > 2**26
    about = result.settings["shapes"]["tiny-qwen2_vl"]
    assert about["layers"] == 4 and result.settings["memory_limit"] == 2**33
    assert rows["kv-of-all-tokens"].median == 480 * about["kv_bytes_a_token"]
    assert rows["full/480/nbytes"].median > rows["chunked/480/nbytes"].median > rows["kv-of-all-tokens"].median
    ratios = {name.removeprefix("tiny-qwen2_vl/memory/480, "): value for name, value in result.ratios.items()}
    assert ratios["KV held at |M| = 60 over KV of all tokens"] == 60 / 480
    cap = rows["ours-60/cap_bytes"].median / rows["kv-of-all-tokens"].median
    assert ratios["cap_bytes at |M| = 60 over KV of all tokens"] == pytest.approx(cap, rel=1e-5)
    for other in ("one-shot-all-logits", "one-shot-last-logits", "chunked"):
        assert ratios[f"process memory without weights, ours-60 over {other}"] > 0


@LIMITED
def test_beyond_the_limit_memory_is_used_up():
    found = list(weighing._weights(task(Contender("ours", "ours", 2**23, (60, 120)), limit=2**32)))
    assert [weight for _, _, weight in found] == [weighing.Weight(60), weighing.Weight(120)]
    assert all(about["family"] == "qwen2_vl" and before > 2**26 for about, before, _ in found)


@LIMITED
def test_too_little_for_the_model_alone():
    found = list(weighing._weights(task(Contender("full", "full", 9, (60,)), shape="0.5b", limit=2**29)))
    assert found == [({}, 0, weighing.Weight(60, note="out of memory"))]


def test_what_else_a_child_can_die_of(monkeypatch):
    first = contenders(SIZES)[0]
    with pytest.raises(TimeUp):
        list(weighing._weights(task(first, seconds=-1.0)))
    with pytest.raises(RuntimeError, match=r"the process of ours-120 has failed: .*unknown shape 'odd'"):
        list(weighing._weights(task(first, shape="odd")))
    monkeypatch.setattr(weighing, "CHILD", ["-c", f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"])
    found = list(weighing._weights(task(first)))
    assert [weight.seen for _, _, weight in found] == [240, 480]
    assert {weight.note for _, _, weight in found} == {"out of memory: the system has ended the process"}


def test_a_missing_weight_is_a_row(pages):
    notebook, row, result = pages
    scales = weighing.Scales(notebook)
    contender = Contender("chunked", "chunked", 0, (5000,))
    scales.write(contender, weighing.Weight(5000, note="out of memory: the system has ended the process"), 7)
    assert row("chunked/5K/peak").note.endswith("ended the process") and result.ratios == {}
