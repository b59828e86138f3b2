"""The command line in this process and in one of its own, a clip, and broken checkpoints by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infinipot_v import cli
from tests.videos import write_video

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path) -> Run:
    """Run the command line in a folder of its own; returns (exit code, standard output, standard error)."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["infinipot-v", *map(str, arguments)])
        code = cli.run()
        return code, *capsys.readouterr()

    return command


@pytest.fixture(scope="session")
def process(tmp_path_factory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line as a process, offline; `shell` is a line of bash that calls infinipot-v."""
    script = tmp_path_factory.mktemp("bin") / "infinipot-v"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m infinipot_v "$@"\n')
    script.chmod(0o755)

    def command(*arguments: object, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-c", shell] if shell else [script, *map(str, arguments)]
        variables = {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1", **environment}
        variables["PATH"] = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(words, capture_output=True, text=True, timeout=240, env={**os.environ, **variables})

    return command


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """Four seconds at ten frames a second."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=40, fps=10)
