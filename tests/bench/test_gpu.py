"""The whole benchmark on tiny shapes: every part, what stops it, and where it goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from infinipot_v import UserError
from infinipot_v.bench import models
from infinipot_v.bench.gpu import GPU, MEASURES
from infinipot_v.bench.models import model_cases
from infinipot_v.bench.plan import Plan
from infinipot_v.bench.rows import Result
from infinipot_v.bench.runner import begin, run
from tests.bench.conftest import SMALL


def plan(*shapes: str, **options) -> Plan:
    return Plan.of(GPU, shapes or ("tiny-qwen2_vl",), device="cpu", sizes=SMALL, **options)


@pytest.mark.contract
@pytest.mark.parametrize("shape", ["tiny-qwen2_vl", "tiny-llava_onevision"])
def test_every_measure_runs(shape):
    found: list[str] = []
    wanted = plan(shape, measures=tuple(MEASURES))
    result = begin(wanted, None)
    assert run(wanted, result, lambda row: found.append(row.name))
    assert result.unfinished == {} and found == [row.name for row in result.rows] and len(set(found)) == len(found)
    assert result.done == [f"{shape}/{name}" for name in MEASURES]
    assert {name.split("/")[1] for name in found} == set(MEASURES)
    rows = {row.name.removeprefix(f"{shape}/"): row for row in result.rows}
    assert rows["answer/ours-96/first-token"].n == rows["answer/full/first-token"].n == SMALL.repeats
    assert "160 tokens held" in rows["answer/full/first-token"].note
    about = result.settings["shapes"][shape]
    assert about["dtype"] == "float32" and about["layers"] == 4 and about["parameters"] > 1000
    assert result.settings["sizes"]["budgets"] == (96, 48) and "flat_steps" not in result.settings["sizes"]


def test_what_is_measured_of_which_shape():
    chosen = plan("tiny", "pocket", "qwen2-vl-7b")
    sets = {case.name: chosen.measures_of(case) for case in chosen.cases}
    assert sets["qwen2-vl-7b"] == sets["pocket"] == tuple(MEASURES)
    assert sets["tiny-smolvlm"] == ("exactness",)
    assert plan(measures=["stream"]).measures_of(model_cases(("tiny",))[0]) == ("stream",)


def test_a_stopped_run_goes_on_where_it_was(tmp_path, monkeypatch):
    wanted = plan(measures=("exactness", "answer"))
    result = begin(wanted, tmp_path)

    def stop(subject, notebook):
        notebook.row("half", [1.0], "ms")
        raise KeyboardInterrupt

    monkeypatch.setitem(MEASURES, "answer", stop)
    with pytest.raises(KeyboardInterrupt):
        run(wanted, result, lambda row: result.write(tmp_path, wanted.stem, "t"))
    monkeypatch.setitem(MEASURES, "answer", lambda subject, notebook: notebook.row("whole", [2.0], "ms"))
    monkeypatch.setitem(MEASURES, "exactness", lambda subject, notebook: pytest.fail("this was measured already"))
    again = begin(wanted, tmp_path)
    assert any(row.name == "tiny-qwen2_vl/answer/half" for row in again.rows), "saved row by row"
    assert run(wanted, again)
    names = [row.name for row in again.rows]
    assert "tiny-qwen2_vl/answer/whole" in names and "tiny-qwen2_vl/answer/half" not in names
    assert "tiny-qwen2_vl/exactness/original/ours/max-abs" in names and len(set(names)) == len(names)


def test_other_settings_are_never_mixed(tmp_path):
    first = plan()
    Result(first.settings).write(tmp_path, first.stem, "t")
    assert begin(plan("tiny-smolvlm", seconds=5.0, measures=["stream"]), tmp_path).rows == []
    with pytest.raises(UserError, match=r"other settings \(layers\): name another folder"):
        begin(plan(layers=2), tmp_path)


def test_a_part_that_fails_does_not_take_the_others_with_it(monkeypatch, capsys):
    def wrong(subject, notebook):
        raise IndexError("third\nline")

    def much(subject, notebook):
        raise torch.OutOfMemoryError("CUDA out of memory")

    def refused(subject, notebook):
        raise UserError("too long")

    for name, measure in (("exactness", wrong), ("stream", much), ("answer", refused)):
        monkeypatch.setitem(MEASURES, name, measure)
    wanted = plan(measures=("exactness", "stream", "answer", "positions"))
    result, told = begin(wanted, None), []
    assert not run(wanted, result, told.append)
    assert {name.split("/")[1]: why for name, why in result.unfinished.items()} == {
        "exactness": "failed: IndexError: third",
        "stream": "out of memory",
        "answer": "refused: UserError: too long",
    }
    assert result.done == ["tiny-qwen2_vl/positions"]
    assert [row.note for row in told if row.median is None] == list(result.unfinished.values())
    assert "IndexError" in capsys.readouterr().err


def test_a_shape_that_cannot_be_built_says_so(monkeypatch):
    monkeypatch.setattr(models, "build", lambda *args, **options: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    wanted = plan("tiny-qwen2_vl", "tiny-smolvlm")
    result = begin(wanted, None)
    assert not run(wanted, result)
    assert result.unfinished == {f"{name}/exactness": "out of memory" for name in ("tiny-qwen2_vl", "tiny-smolvlm")}


def test_when_time_is_up_what_is_left_out_is_said():
    wanted = plan(measures=tuple(MEASURES), seconds=1e-9)
    result = begin(wanted, None)
    assert not run(wanted, result)
    assert result.unfinished == {f"tiny-qwen2_vl/{name}": "no time left" for name in MEASURES} and not result.rows


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"measures": ("memry",)}, "unknown measure 'memry', did you mean 'memory'"),
        ({"layers": 0}, "layers are at least 1"),
        ({"seconds": 0.0}, "above 0"),
        ({"threads": 0}, "threads are at least 1"),
    ],
)
def test_impossible_plans(options, says):
    with pytest.raises(UserError, match=says):
        plan(**options)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "meta", "toaster"])
def test_devices_that_are_not_here(device):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="no CUDA device" if "cuda" in device else "give cuda"):
        Plan.of(GPU, ("tiny",), device=device)


def test_it_needs_no_pyav():
    script = (
        "import sys; sys.modules['av'] = None; sys.modules['torchvision'] = None\n"
        "from infinipot_v.bench.gpu import GPU\n"
        "from infinipot_v.bench.plan import Plan\n"
        "from infinipot_v.bench.runner import begin, run\n"
        "from tests.bench.conftest import SMALL\n"
        "plan = Plan.of(GPU, ('tiny-qwen2_vl',), ('exactness', 'stream', 'memory'), 'cpu', sizes=SMALL)\n"
        "sys.exit(not run(plan, begin(plan, None)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode == 0
