"""The runner: questions in time, records that survive a kill, numbers with honest intervals."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinipot_v.evaluate import runner
from infinipot_v.evaluate.base import Asked, Benchmark, Item
from infinipot_v.evaluate.contenders import Contender, contenders
from infinipot_v.evaluate.records import Record, RecordLog, read_records
from infinipot_v.evaluate.rows import DELAYED, markdown, rows_of
from infinipot_v.evaluate.statistics import paired_difference, wilson
from infinipot_v.reduction import make_reduction
from infinipot_v.types import Answer, Frame, UserError


class Ledger:
    """A watcher that only writes down what it was shown."""

    held_tokens, seen_tokens, nbytes = 3, 4, 5

    def __init__(self) -> None:
        self.seen: list[float] = []

    def watch(self, frames: Iterable[Frame]) -> None:
        self.seen += [frame.seconds for frame in frames]

    def ask(self, question: str) -> Answer:
        return Answer(question, f"{len(self.seen)}", 1, 0.1, 0.2, "stop")


class Counting(Benchmark):
    """How many frames have you seen? Right if exactly those before the question's time."""

    name = "counting"

    def __init__(self, times: list[float | None], frames: int) -> None:
        self.times, self.count = times, frames

    @property
    def settings(self) -> dict[str, object]:
        return {"times": self.times}

    def items(self) -> list[Item]:
        seen = [sum(i < at for i in range(self.count)) if at is not None else self.count for at in self.times]
        asked = tuple(Asked("how many?", str(n), "count", at, 1.0) for n, at in zip(seen, self.times, strict=True))
        return [Item(name, 10, 1, asked) for name in ("one", "two")]

    @contextmanager
    def frames(self, item: Item) -> Iterator[Iterator[Frame]]:
        yield (Frame(np.zeros((2, 2, 3), np.uint8), float(i)) for i in range(self.count))

    def correct(self, asked: Asked, reply: str) -> bool:
        return asked.answer == reply


class Fake(Contender):
    def watcher(self, *_args: object, **_kwargs: object) -> Ledger:
        return Ledger()


@settings(deadline=None)
@given(st.lists(st.floats(0, 30), max_size=6), st.integers(0, 25), st.booleans())
def test_questions_come_when_exactly_the_frames_before_them_were_watched(times, frames, at_end):
    benchmark = Counting([*sorted(times), *[None] * at_end], frames)
    records = list(runner.records_of(benchmark, None, Fake("uniform"), benchmark.items()[0]))
    assert [record.correct for record in records] == [True] * (len(times) + at_end)


def test_a_finished_unit_is_not_run_again(tmp_path):
    benchmark, calls = Counting([3.0, None], 10), []

    class Counted(Fake):
        def watcher(self, *_args: object, **_kwargs: object) -> Ledger:
            calls.append(self.policy)
            return Ledger()

    taking_part = [Counted("uniform", Fraction(1, 4)), Counted("random", Fraction(1, 4))]
    for _ in range(2):
        log = RecordLog(tmp_path / "r.jsonl", benchmark.settings)
        runner.run(benchmark, None, taking_part, log)
        assert len(log.records()) == 8
    assert calls == ["uniform", "random"] * 2


def test_other_settings_are_refused(tmp_path):
    RecordLog(tmp_path / "r.jsonl", {"seed": 1})
    with pytest.raises(UserError, match="other settings"):
        RecordLog(tmp_path / "r.jsonl", {"seed": 2})


def record(item: str, index: int, right: bool, policy: str = "a", of: int = 4, delay: float = 1.0) -> Record:
    return Record(policy, 0.25, item, index, of, "kind", delay, "?", "x", "x" if right else "y", right, 7, 9, 0.1)


@pytest.mark.parametrize("cut", [1, 40, 150])
def test_a_torn_file_loses_the_torn_unit_only(tmp_path, cut):
    path = tmp_path / "r.jsonl"
    log = RecordLog(path, {"seed": 1})
    for item in ("one", "two"):
        log.write(("a", 0.25, item), [record(item, i, True) for i in range(4)])
    os.truncate(path, path.stat().st_size - cut)
    log = RecordLog(path, {"seed": 1})
    assert [r.item for r in log.records()] == ["one"] * 4
    log.write(("a", 0.25, "two"), [record("two", i, False) for i in range(4)])
    again = RecordLog(path, {"seed": 1})
    assert sum(r.correct for r in again.records()) == 4 and len(again.records()) == 8


def test_damage_is_said(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("nonsense\n")
    with pytest.raises(UserError, match="damaged"):
        RecordLog(path, {})
    with pytest.raises(UserError, match="no records"):
        read_records(tmp_path / "none.jsonl")


WRITER = """
import sys, pathlib
from infinipot_v.evaluate.records import Record, RecordLog
def record(item, i, right): return Record("a", 0.25, item, i, 4, "kind", 1.0, "?", "x", "x", right, 7, 9, 0.1)
log = RecordLog(pathlib.Path(sys.argv[1]), {"seed": 1})
for n in range(100000):
    if not log.done(("a", 0.25, f"{n}")):
        log.write(("a", 0.25, f"{n}"), [record(f"{n}", i, n % 3 == 0) for i in range(4)])
"""


def test_kill_nine_at_random_moments_loses_nothing_that_was_whole(tmp_path):
    path, known, chance = tmp_path / "r.jsonl", 0, random.Random(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        while not path.exists() or path.stat().st_size < known + 4000:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        known = path.stat().st_size
        records = RecordLog(path, {"seed": 1}).records()
        items = list(dict.fromkeys(r.item for r in records))
        assert items == [str(n) for n in range(len(items))] and len(records) == 4 * len(items)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_holds_the_share_and_never_leaves_the_unit(correct, more):
    n = correct + more
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1


def test_wilson_by_hand():
    # 8 of 10: centre (0.8 + 1.9207/10)/(1 + 3.8415/10), half-width by the textbook
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.49, 0.943)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_paired_difference_sees_what_separate_intervals_do_not():
    rng = random.Random(1)
    a, b = [], []
    for item, index in itertools.product(range(30), range(4)):
        hard = rng.random() < 0.5
        a.append(record(f"{item}", index, not hard))
        b.append(record(f"{item}", index, not hard and index != 0, "b"))
    result = paired_difference(a, b, ("a", "b"))
    assert result.n == 120 and result.items == 30
    assert 0 < result.low <= result.difference <= result.high
    nothing = paired_difference(a, [replace(r, item="other") for r in b], ("a", "b"))
    assert (nothing.n, nothing.low, nothing.high) == (0, -1.0, 1.0)


def test_rows_add_up():
    records = [record("1", i, i < 3, delay=d) for i, d in enumerate((0.0, 5.0, 20.0, 99.0))]
    rows = {(row.kind, row.delay): row for row in rows_of(records)}
    assert (rows["all", "all"].correct, rows["all", "all"].n) == (3, 4)
    assert (rows["all", DELAYED].correct, rows["all", DELAYED].n) == (2, 3)
    assert [rows["all", d].n for d in ("visible", "1-16 s", "17-64 s", "over 64 s")] == [1, 1, 1, 1]
    assert "| a | 1/4 | 7 | 75.0 (" in markdown(list(rows.values()))


def test_contenders():
    taking_part = contenders(["full", "uniform", "last-frames"], [Fraction(1, 2), Fraction(1, 16)])
    labels = [f"{c.policy} {c.fraction}" for c in taking_part]
    assert labels == ["full 1", "last-frames 1", "uniform 1/2", "uniform 1/16"]
    assert [c.shares for c in contenders(["streaming-llm"], [Fraction(1, 2)])] == [True]
    with pytest.raises(UserError, match="did you mean .uniform"):
        contenders(["unifrom"], [])
    with pytest.raises(UserError, match="out of range"):
        contenders(["uniform"], [Fraction(2)])
    assert json.dumps(labels)


def test_a_contender_carries_options():
    carried = Contender(
        "infinipot-v+alpha=0.25+keep=0.5+positions=compact+ring=4+reduce=dycoke:pruned=0.5", Fraction(1, 4)
    )
    policy, keep, options = carried._parsed()
    assert (policy.alpha, keep, options.pop("reduce")) == (0.25, 0.5, make_reduction("dycoke:pruned=0.5"))
    assert options == {"positions": "compact", "ring": 4}
    assert not Contender("full+reduce=longvu").shares
    with pytest.raises(UserError, match="did you mean 'dycoke'"):
        Contender("infinipot-v+reduce=dycok", Fraction(1, 4))
    with pytest.raises(UserError, match="a number of steps"):
        Contender("infinipot-v+ring=few", Fraction(1, 4))
    with pytest.raises(UserError, match="choose original, compact, hf"):
        Contender("infinipot-v+positions=compakt", Fraction(1, 4))
    with pytest.raises(UserError, match="'alpha'"):
        Contender("infinipot-v+alhpa=1", Fraction(1, 4))
