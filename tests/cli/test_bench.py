"""`infinipot-v bench gpu`, on a CPU with the tiny shapes."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch

from infinipot_v.bench.shapes import DEFAULT, shape_names
from infinipot_v.bench.subject import Sizes
from infinipot_v.cli import bench

TINY = ("bench", "gpu", "--device", "cpu", "--shapes", "tiny-qwen2_vl,tiny-smolvlm", "--repeats", "1")


def test_rows_as_they_come_files_and_json(run):
    code, out, _ = run(*TINY, "--out", "kept")
    assert code == 0
    lines = out.splitlines()
    assert any(line.startswith("tiny-smolvlm/exactness/compact/ours/max-abs ") for line in lines)
    code, out, err = run(*TINY, "--out", "kept", "--json")
    assert code == 0 and err == ""
    found = json.loads(out)
    assert {"name", "median", "spread", "unit"} <= found["rows"][0].keys()
    assert len(found["rows"]) == len(lines), "nothing is measured twice"
    assert found["settings"]["benchmark"] == "gpu" and "layers" in found["settings"]
    assert "tiny-qwen2_vl/exactness/original, max-abs of ours over pieces" in found["ratios"]
    (file,) = Path("kept").glob("gpu-cpu-*.json")
    assert json.loads(file.read_text()) == found
    assert file.with_suffix(".md").read_text().startswith("# bench gpu: cpu")
    code, _, err = run(*TINY, "--out", "kept", "--layers", "1")
    assert code == 2 and "other settings (layers)" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bench", "cpu"), "unknown benchmark 'cpu'; there is: gpu"),
        (("bench", "gpu", "--device", "cpu", "--shapes", "qwen"), "unknown shape 'qwen'"),
        (("bench", "gpu", "--device", "cpu", "--seen", "5K"), "cannot read --seen '5K'"),
        (("bench", "gpu", "--device", "cpu", "--seen", "50,20"), "must ascend"),
        (("bench", "gpu", "--device", "cpu", "--measures", "speed"), "unknown measure 'speed'"),
        (("bench", "gpu", "--device", "cpu", "--repeats", "0"), "at least 1"),
        (("bench", "gpu", "--device", "cpu", "--seconds-limit", "0"), "above 0"),
    ],
)
def test_bad_input(run, words, says):
    code, out, err = run(*words)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(run):
    code, out, err = run("bench", "gpu")
    assert (code, out) == (2, "") and "no CUDA device is here: give --device cpu --shapes tiny" in err
    assert err.count("\n") == 1


def test_a_failure_of_ours_is_exit_code_1(run, monkeypatch):
    from infinipot_v.bench.gpu import MEASURES

    def wrong(subject, notebook):
        raise IndexError("odd")

    monkeypatch.setitem(MEASURES, "exactness", wrong)
    code, out, _ = run(*TINY)
    assert code == 1 and "failed: IndexError: odd" in out


def test_defaults_are_those_of_the_classes_behind_them():
    sizes = Sizes()
    assert ",".join(DEFAULT) == bench.SHAPES and set(DEFAULT) <= set(shape_names())
    assert ",".join(map(str, sizes.seen)) == bench.SEEN
    defaults = {name: parameter.default for name, parameter in inspect.signature(bench.bench).parameters.items()}
    assert (defaults["budget"], defaults["budget"] // 2) == (sizes.budget, sizes.half)
    for name in ("answer_seen", "steps", "repeats"):
        assert defaults[name] == getattr(sizes, name)
