"""`infinipot-v bench`, on a CPU with small sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from infinipot_v.bench.benches import HOMES, bench_named
from infinipot_v.bench.shapes import shape_names
from infinipot_v.cli import bench

TINY = ("bench", "gpu", "--device", "cpu", "--shapes", "tiny-qwen2_vl,tiny-smolvlm", "--repeats", "1")


def test_rows_as_they_come_files_and_json(run):
    code, out, _ = run(*TINY, "--out", "kept")
    assert code == 0
    lines, _, ratios = out.partition("\nratios of medians\n")
    assert any(line.startswith("tiny-smolvlm/exactness/compact/ours/max-abs ") for line in lines.splitlines())
    assert "tiny-qwen2_vl/exactness/original, max-abs of ours over pieces" in ratios
    code, out, err = run(*TINY, "--out", "kept", "--json")
    assert code == 0 and err == ""
    found = json.loads(out)
    assert {"name", "median", "spread", "unit"} <= found["rows"][0].keys()
    assert len(found["rows"]) == len(lines.splitlines()), "nothing is measured twice"
    assert found["settings"]["benchmark"] == "gpu" and "layers" in found["settings"]
    assert "tiny-qwen2_vl/exactness/original, max-abs of ours over pieces" in found["ratios"]
    (file,) = Path("kept").glob("gpu-cpu-*.json")
    assert json.loads(file.read_text()) == found
    assert file.with_suffix(".md").read_text().startswith("# bench gpu: cpu")
    code, _, err = run(*TINY, "--out", "kept", "--layers", "1")
    assert code == 2 and "other settings (layers)" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "options", "row"),
    [
        ("compress", ("--shapes", "1x1024x8"), "1x1024x8/bfloat16, keep 0.5, recent 0.25/ours"),
        ("stream", ("--shapes", "tiny-qwen2_vl", "--flat-steps", "40"), "tiny-qwen2_vl/flat/step-40"),
        ("answer", ("--shapes", "tiny-smolvlm"), "tiny-smolvlm/answer/ours-40/tokens-per-second"),
    ],
)
def test_every_benchmark_can_be_tried(run, name, options, row):
    code, out, err = run("bench", name, *options, "--quick", "--out", "kept")
    assert (code, err) == (0, "") and any(line.startswith(f"{row} ") for line in out.splitlines())
    assert {path.suffix for path in Path("kept").iterdir()} == {".json", ".md", ".png"}
    code, again, _ = run("bench", name, *options, "--quick", "--out", "kept")
    assert code == 0 and again == out[out.index("\nratios of medians") :], "nothing is measured twice"


def test_a_video_is_watched_live(run, clip):
    options = ("--shapes", "tiny-qwen2_vl", "--measures", "stream", "--quick", "--video", clip, "--fps", "2", "--json")
    code, out, _ = run("bench", "stream", *options)
    found = json.loads(out)
    rows = {row["name"]: row for row in found["rows"]}
    assert code == 0 and found["settings"]["footage"] | {"file": clip.name, "fps": 2.0} == found["settings"]["footage"]
    assert rows["tiny-qwen2_vl/stream/sustainable-fps"]["median"] > 0
    assert "bound by" in rows["tiny-qwen2_vl/stream/times-real-time"]["note"]


def test_shares_are_of_the_longest_stream():
    given = {"seen": (100, 1600)}
    assert bench._sizes(bench_named("memory").sizes, given, bench_named("memory")).budgets == (400, 100)
    given["budgets"] = "1/8,30"
    assert bench._sizes(bench_named("memory").sizes, given, bench_named("memory")).budgets == (200, 30)
    assert bench._sizes(bench_named("answer").quick, {"budgets": "1/5"}, bench_named("answer")).budgets == (128,)
    assert bench._sizes(bench_named("gpu").sizes, {}, bench_named("gpu")).budgets == (6144, 3072)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("cpu",), "there are: memory, stream, compress, answer, gpu"),
        (("memori",), "unknown benchmark 'memori', did you mean 'memory'"),
        (("gpu", "--device", "cpu", "--shapes", "qwen"), "unknown shape 'qwen'"),
        (("gpu", "--device", "cpu", "--seen", "5K"), "cannot read --seen '5K'"),
        (("gpu", "--device", "cpu", "--seen", "50,20"), "must ascend"),
        (("gpu", "--device", "cpu", "--measures", "speed"), "unknown measure 'speed'"),
        (("gpu", "--device", "cpu", "--repeats", "0"), "at least 1"),
        (("gpu", "--device", "cpu", "--seconds-limit", "0"), "above 0"),
        (("answer", "--layers", "0"), "layers are at least 1"),
        (("answer", "--threads", "0"), "threads are at least 1"),
        (("memory", "--budgets", "lots"), "cannot read --budgets 'lots': write tokens or shares"),
        (("memory", "--budgets", "1/0"), "cannot read --budgets '1/0'"),
        (("memory", "--budgets", "3/2"), "cannot read --budgets '3/2'"),
        (("memory", "--budgets", "-5"), "cannot read --budgets '-5'"),
        (("memory", "--memory-limit", "12"), "cannot read --memory-limit '12': write a size with its unit"),
        (("compress", "--shapes", "pocket"), "write HEADSxSLOTSxDIM"),
        (("compress", "--layers", "2"), "--layers is not for bench compress, which takes --repeats"),
        (("memory", "--video", "a.mp4"), "--video is not for bench memory"),
        (("stream", "--fps", "2"), "--fps goes with --video"),
        (("stream", "--video", "nothing.mp4"), "no such file: nothing.mp4"),
        (("stream", "--video", "nothing.mp4", "--fps", "0"), "fps is 0"),
    ],
)
def test_bad_input(run, words, says):
    code, out, err = run("bench", *words)
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


def test_no_picture_is_no_failure(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    code, _, err = run("bench", "compress", "--shapes", "1x1024x8", "--quick", "--out", "kept")
    assert code == 0 and err == "no picture: pictures need matplotlib: pip install matplotlib\n"


def test_the_catalogue():
    assert tuple(HOMES) == bench.BENCHMARKS
    for name in bench.BENCHMARKS:
        own = bench_named(name)
        assert own.name == name and own.cases(own.shapes) and own.takes
        if name != "compress":
            assert set(own.shapes) <= set(shape_names())
