"""`infinipot-v verify` as a user runs it: lines, a report to send, and exit codes."""

from __future__ import annotations

import json

import pytest

from infinipot_v.models.qwen2_vl import Qwen2VL
from infinipot_v.verify.checks import CHECKS


def test_a_right_checkpoint(run, checkpoint, tmp_path):
    out = tmp_path / "report.json"
    folder = checkpoint("qwen2_vl")
    code, text, err = run("verify", "--model", folder, "--device", "cpu", "--out", out, "--by", "Ada")
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert len(lines) == len(CHECKS) + 1 and all(line[:4] in ("pass", "skip") for line in lines[:-1])
    assert "0 failed" in lines[-1]
    report = json.loads(out.read_text())
    assert report["passed"] and report["by"] == "Ada" and len(report["checks"]) == len(CHECKS)
    assert str(tmp_path) not in out.read_text() and report["settings"]["video"] == "made here"


def test_one_json_object_and_a_video_of_ones_own(run, checkpoint, clip):
    code, text, err = run("verify", "--model", checkpoint("internvl"), "--video", clip, "--fps", 3, "--json")
    assert (code, err) == (0, "")
    report = json.loads(text)
    assert report["passed"] and report["settings"]["video"] == "a file" and report["settings"]["frames"] == 12
    assert str(clip) not in text


def test_a_wrong_adapter_ends_in_exit_code_1_and_names_the_checks(run, checkpoint, monkeypatch):
    right = Qwen2VL.prefill
    monkeypatch.setattr(
        Qwen2VL, "prefill", lambda self, block, positions, cache: right(self, block, positions + 1, cache)
    )
    code, text, err = run("verify", "--model", checkpoint("qwen2_vl"), "--device", "cpu", "--json")
    report = json.loads(text)
    assert code == 1 and report["passed"] is False
    assert len(err.splitlines()) == 1 and "positions" in err and "logits" in err
    wrong = {check["name"]: check for check in report["checks"] if check["passed"] is False}
    assert "by +1" in wrong["positions"]["detail"]
    assert wrong["logits"]["figure"] > wrong["logits"]["tolerance"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--model"),
        (("--out", "nowhere/report.json"), "no folder nowhere"),
        (("--video", "nothing.mp4"), "nothing.mp4"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, checkpoint, arguments, says):
    model = ("--model", checkpoint("qwen2_vl")) if arguments else ()
    code, out, err = run("verify", *model, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1) and says in err


def test_a_video_that_is_too_short(run, checkpoint, clip):
    code, out, err = run("verify", "--model", checkpoint("qwen2_vl"), "--video", clip, "--fps", 0.5)
    assert (code, out) == (2, "") and "too few" in err
