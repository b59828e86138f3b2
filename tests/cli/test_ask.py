"""`infinipot-v ask` as a user runs it: a process, real files, exit codes, one line of error."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infinipot_v import cli
from tests.videos import write_video

CLIPS = {"people-one-by-one.mp4": 2.0, "bottles.mp4": 4.0, "big-buck-bunny-30s.mp4": 6.0, "pig.mp4": 24.0}
"""Frames a second at which a sixteenth of the clip's tokens is at least four steps."""


def infinipot(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "infinipot_v", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, cwd=cwd)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=40, fps=10)


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_at_a_sixteenth_of_its_tokens(media, checkpoint, name):
    folder, clip = checkpoint("qwen2_vl"), media / name
    ask = ("ask", clip, "What happens?", "And then?", "--model", folder, "--fps", CLIPS[name], "--max-new-tokens", 8)
    full = json.loads(infinipot(*ask, "--policy", "full", "--tokens-per-step", 32, "--json").stdout)
    seen, steps = full["memory"]["seen_tokens"], full["video"]["steps"]
    budget = seen // 16
    assert budget >= 4 * (seen // steps), "a sixteenth must hold four steps"
    done = infinipot(*ask, "--budget", budget, "--tokens-per-step", 32, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    memory = result["memory"]
    assert result["video"] == full["video"] and memory["seen_tokens"] == seen
    assert memory["held_tokens"] <= memory["budget_tokens"] == budget
    assert memory["compressions"] > 10
    assert memory["nbytes"] <= memory["cap_bytes"] < full["memory"]["nbytes"] and memory["peak_bytes"] > 0
    assert [answer["question"] for answer in result["answers"]] == ["What happens?", "And then?"]
    assert all(0 < answer["first_token_seconds"] <= answer["seconds"] for answer in result["answers"])
    assert (result["model"], result["policy"]) == (str(folder), "infinipot-v")


def test_answers_are_printed_and_bytes_are_a_budget(clip, checkpoint):
    folder = checkpoint("qwen2_5_vl")
    done = infinipot("ask", clip, "What?", "--model", folder, "--fps", 5, "--budget", "2MiB", "--max-new-tokens", 4)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("> What?\n")
    shown = infinipot("ask", clip, "What?", "--model", folder, "--budget", "2MiB", "--max-new-tokens", 4, "--json")
    assert json.loads(shown.stdout)["memory"]["cap_bytes"] <= 2 * 2**20


def test_policy_options_and_decoding_reach_the_session(clip, checkpoint):
    done = infinipot(
        "ask", clip, "What?", "--model", checkpoint("qwen2_vl"), "--fps", 10, "--budget", 64, "--tokens-per-step", 16,
        "-o", "alpha=0.25", "-o", "pooling=off", "--temperature", 1.5, "--top-k", 5, "--seed", 3,
        "--system", "Be brief.", "--positions", "hf", "--block", 2, "--keep", 0.5, "--max-new-tokens", 5, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    memory = json.loads(done.stdout)["memory"]
    assert "alpha=0.25" in memory["policy"] and "pooling='off'" in memory["policy"]
    assert set(memory["kernels"]) == {1} and memory["budget_tokens"] == 64


def bad_inputs(folder: Path, clip: Path, model: Path, text_only: Path) -> dict[str, tuple[list[object], str]]:
    """What can be wrong: arguments behind `ask`, and what the one line must say."""
    (folder / "empty.mp4").touch()
    (folder / "words.mp4").write_text("this is not a video " * 50)
    other = folder / "other"
    shutil.copytree(model, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "qwen2_5_vll"}))
    torn = folder / "torn"
    shutil.copytree(model, torn)
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    plain = ["--model", model]
    return {
        "no such file": ([folder / "nothing.mp4", "What?", *plain], "no such file"),
        "a folder": ([folder, "What?", *plain], "folder"),
        "an empty file": ([folder / "empty.mp4", "What?", *plain], "empty"),
        "not a video": ([folder / "words.mp4", "What?", *plain], "not a video"),
        "text-only checkpoint": ([clip, "What?", "--model", text_only], "text-only"),
        "unsupported architecture": ([clip, "What?", "--model", other], "qwen2_5_vl"),
        "damaged weights": ([clip, "What?", "--model", torn], "weights"),
        "no such model folder": ([clip, "What?", "--model", folder / "none"], "does not exist"),
        "no model": ([clip, "What?"], "--model"),
        "budget below one step": ([clip, "What?", *plain, "--budget", 3], "below one step"),
        "budget of nonsense": ([clip, "What?", *plain, "--budget", "many"], "512MiB"),
        "budget in too few bytes": ([clip, "What?", *plain, "--budget", "1KiB"], "at least"),
        "keep out of range": ([clip, "What?", *plain, "--keep", 1.5], "keep"),
        "unknown policy": ([clip, "What?", *plain, "--policy", "infinipot-w"], "'infinipot-v'"),
        "unknown policy option": ([clip, "What?", *plain, "-o", "alhpa=1"], "'alpha'"),
        "policy option of nonsense": ([clip, "What?", *plain, "-o", "alpha"], "NAME=VALUE"),
        "policy option out of range": ([clip, "What?", *plain, "-o", "alpha=2"], "alpha"),
        "unknown flag": ([clip, "What?", *plain, "--polcy", "full"], "--policy"),
        "empty question": ([clip, "  ", *plain], "empty"),
        "question longer than the room": ([clip, "why " * 60, *plain, "--room", 50], "--room"),
        "fps of zero": ([clip, "What?", *plain, "--fps", 0], "fps"),
        "fps of words": ([clip, "What?", *plain, "--fps", "fast"], "fps"),
        "start behind the end": ([clip, "What?", *plain, "--start", 3, "--end", 1], "start"),
        "unknown positions": ([clip, "What?", *plain, "--positions", "mine"], "original"),
        "unknown dtype": ([clip, "What?", *plain, "--dtype", "float8"], "bfloat16"),
        "unknown device": ([clip, "What?", *plain, "--device", "quantum"], "choose auto"),
        "unknown attention": ([clip, "What?", *plain, "--attn-implementation", "mine"], "attn_implementation"),
        "no answer tokens": ([clip, "What?", *plain, "--max-new-tokens", 0], "max_new_tokens"),
        "no question": ([clip], "questions"),
    }


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, clip, checkpoint, monkeypatch, capsys):
    cases = bad_inputs(tmp_path, clip, checkpoint("qwen2_vl"), checkpoint("llama"))
    empty = tmp_path / "cwd"
    empty.mkdir()
    monkeypatch.chdir(empty)
    wrong = []
    for name, (arguments, says) in cases.items():
        monkeypatch.setattr(sys, "argv", ["infinipot-v", "ask", *map(str, arguments)])
        code, (out, err) = cli.run(), capsys.readouterr()
        if code != 2 or out or len(err.splitlines()) != 1 or says.lower() not in err.lower():
            wrong.append((name, code, out, err))
    assert wrong == []
    assert list(empty.iterdir()) == [], "something was left behind"


@pytest.mark.parametrize("arguments", [("--model", "nobody/nothing"), ("--model", "nobody/nothing", "--fps", "0"), ()])
def test_bad_input_of_a_process(clip, arguments, tmp_path):
    done = infinipot("ask", clip, "What?", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_no_video_stream(tmp_path, checkpoint):
    from tests.videos import write_audio

    done = infinipot("ask", write_audio(tmp_path / "tone.mp4"), "What?", "--model", checkpoint("qwen2_vl"))
    assert done.returncode == 2
    assert "no video" in done.stderr


def test_help_is_quick_and_imports_no_torch():
    script = (
        "import sys, infinipot_v.cli; sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'av')))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    assert "ask" in infinipot("--help").stdout
    assert infinipot("--version").stdout.startswith("infinipot-v ")
