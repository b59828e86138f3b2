"""The examples, run as they are on the embedded model. `generate.py` is run by tests/core/test_generate.py."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

from infinipot_v.pocket import make_stream
from infinipot_v.pocket.facts import facts_at

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """`run(name, *arguments)` -> what the example prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def video(run, tmp_path) -> Path:
    run("pocket_video.py", tmp_path / "video.mp4")
    return tmp_path / "video.mp4"


def came(index: int, seed: int = 0) -> str:
    """What came in the streams of pocket_video.py, by its place in the order."""
    scene = make_stream(seed, steps=64).scene
    facts = facts_at(scene, scene.frames)
    return facts.kind(range(len(facts.things))[index])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_it_is_run(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 30
    assert f"Usage: {path.name}" in (ast.get_docstring(ast.parse(text)) or "")


def test_the_video_comes_with_its_questions_and_answers(run, tmp_path):
    shown = run("pocket_video.py", tmp_path / "video.mp4", 3)
    asked = [f"{question.text} ({question.answer})" for question in make_stream(3, steps=64).questions]
    assert [line.partition(": ")[2] for line in shown.splitlines()] == asked


def test_ask(run, video):
    shown = run("ask.py", video)
    assert f"What came first? {came(0)}\nWhat came last? {came(-1)}\n1024 tokens seen, 256 held" in shown
    assert re.search(r" held in \d\.\d\d MiB\n$", shown)
    assert "1024 held" in run("ask.py", video, "pocket", "64MiB")


def test_live_frames(run):
    *moments, last = run("live_frames.py").splitlines()
    assert [moment.partition(",")[0].strip() for moment in moments] == ["31 s", "63 s", "95 s", "127 s"]
    assert moments[0].startswith(" 31 s, 256 tokens held: ") and last == f"What came first? {came(0)}"


def test_own_policy(run, video):
    assert run("own_policy.py", video) == f"What came last? {came(-1)} LoudKeys(newest=32)\n"


def test_several_files(run, video, tmp_path):
    second = tmp_path / "second.mp4"
    make_stream(1, steps=64).write(second)
    shown = run("several_files.py", "pocket", video, second)
    assert "2 paths, 256.0 s, 256 frames\n256 frames seen, 256 of 2048 tokens held\n" in shown
    assert shown.endswith(f"What came last? {came(-1, seed=1)}\n")
