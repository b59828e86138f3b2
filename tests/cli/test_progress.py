"""Progress, as somebody at a terminal sees it: through a pseudo-terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys

import pytest

from tests.videos import write_video

fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


def watch(clip, folder, columns: int, *more: object, interrupt: bytes = b"") -> tuple[int, str, str]:
    """Ask with standard error on a terminal; SIGINT once `interrupt` is on it. Exit code, output, and the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "infinipot_v", "ask", clip, "What?", "--model", folder, "--fps", 10, *more]
    environment = {**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while piece := _read(ours):
        seen += piece
        if interrupt and interrupt in seen:
            process.send_signal(signal.SIGINT)
            interrupt = b""
    out = process.communicate()[0].decode()
    os.close(ours)
    return process.returncode, out, seen.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other side has closed
        return b""


def lines(seen: str) -> list[str]:
    """What stood on the terminal, line by line, without its control sequences."""
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in re.split(r"[\r\n]+|\x1b\[2K", seen)]


def test_forty_columns_are_enough_and_colours_can_be_declined(clip, checkpoint, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    code, out, seen = watch(clip, checkpoint("qwen2_vl"), 40, "--max-new-tokens", 2)
    assert code == 0 and out.startswith("> What?\n") and "\x1b" not in out
    assert max(map(len, lines(seen))) <= 40
    assert any(re.fullmatch(r"\d s \d+f/s \d+/6144 .*", line) for line in lines(seen)), seen
    assert lines(seen)[-1] == "", "the bar leaves no trace"
    assert not re.search(r"\x1b\[[\d;]*3[0-7][;m]", seen)


def test_time_rate_tokens_and_time_left_are_shown_and_ctrl_c_keeps_what_was_watched(tmp_path, checkpoint):
    long = write_video(tmp_path / "long.mp4", frames=600, fps=10)
    more = ("--block", 1, "--json", "--max-new-tokens", 2, "--tokens-per-step", 512)
    code, out, seen = watch(long, checkpoint("qwen2_vl"), 100, *more, interrupt=b"frames/s")
    bar = [line for line in lines(seen) if "frames/s" in line]
    assert all(
        re.fullmatch(r"watching \S+ \d+ s  [\d.]+ frames/s  \d+/6144 tokens (\d\d|--):(\d\d|--)", line) for line in bar
    )
    result = json.loads(out)
    assert code == 0 and result["video"]["interrupted"] and 0 < result["video"]["frames"] < 600
    assert any(line.startswith("interrupted at ") for line in lines(seen))
    assert re.search(r"\x1b\[[\d;]*3[0-7][;m]", seen), "the control: colours, where nobody declines them"
