"""The configuration file: its keys are the flags, and the command line overrules it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PLAIN = """
model = {model!r}
fps = 10
budget = 64
tokens-per-step = 16
max_new_tokens = 3          # as in Python is right too
json = true
[option]
alpha = 0.25
pooling = "off"
"""


@pytest.fixture
def config(tmp_path, checkpoint) -> Path:
    path = tmp_path / "ask.toml"
    path.write_text(PLAIN.format(model=str(checkpoint("qwen2_vl"))))
    return path


def add(path: Path, text: str, *, first: bool = False) -> Path:
    path.write_text(text + path.read_text() if first else path.read_text() + text)
    return path


def test_keys_are_flags_and_a_table_is_the_policys_options(run, clip, config):
    code, out, err = run("ask", clip, "What?", "--config", config)
    assert code == 0, err
    result = json.loads(out)
    assert result["video"]["frames"] == 40 and result["memory"]["budget_tokens"] == 64
    assert "alpha=0.25" in result["memory"]["policy"] and "pooling='off'" in result["memory"]["policy"]
    assert result["answers"][0]["tokens"] <= 3


def test_the_command_line_overrules_the_file(run, clip, config):
    _, out, _ = run("ask", clip, "What?", "--config", config, "--budget", 96, "--fps", 5, "-o", "alpha=0.75")
    result = json.loads(out)
    assert result["video"]["frames"] == 20 and result["memory"]["budget_tokens"] == 96
    assert "alpha=0.75" in result["memory"]["policy"] and "pooling='adaptive'" in result["memory"]["policy"]


def test_a_switch_can_be_switched_off_again(run, clip, config):
    add(config, "checkpoint-decoding = true\n", first=True)
    assert run("ask", clip, "What?", "--config", config, "--no-checkpoint-decoding")[0] == 0


def test_a_section_is_for_one_command_and_overrules_plain_keys(run, clip, config):
    add(config, '[ask]\nbudget = 80\nask-at = ["1 Now?", "2 And now?"]\n[eval]\nseeds = "3:4"\n')
    result = json.loads(run("ask", clip, "--config", config)[1])
    assert result["memory"]["budget_tokens"] == 80
    assert [answer["question"] for answer in result["answers"]] == ["Now?", "And now?"]


def test_the_video_and_the_questions_may_be_in_the_file(run, clip, config):
    add(config, f'video = "{clip}"\nquestions = ["What?", "And then?"]\n', first=True)
    result = json.loads(run("ask", "--config", config)[1])
    assert [answer["question"] for answer in result["answers"]] == ["What?", "And then?"]


def test_other_commands_take_one_too(run, config, tmp_path):
    config.write_text('[compare]\nrecords = "nowhere.jsonl"\n[policies]\njson = true\n')
    assert json.loads(run("policies", "--config", config)[1])["policies"]
    code, _, err = run("compare", "full", "random", "--config", config)
    assert code == 2 and "nowhere.jsonl" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fps = [1, 2]", "fps takes one value"),
        ('stop = ["a", ["b"]]', "stop takes one value or a list of values"),
        ("ask = 3", "write [ask]"),
        ("config = 'other.toml'", "unknown key 'config'"),
        ("budget = true", "cannot read the budget"),
        ("fps = 1\nfps = 2", "is not TOML"),
    ],
)
def test_bad_files_are_one_line(run, clip, config, text, says):
    config.write_text(text)
    code, out, err = run("ask", clip, "What?", "--model", "pocket", "--config", config)
    assert (code, out) == (2, "") and says in err and len(err.splitlines()) == 1
