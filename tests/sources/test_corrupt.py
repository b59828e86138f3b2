"""Two hundred damaged videos, and damaged ones of other containers: frames and a count, or one line; never else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import pytest

from tests import videos
from tests.sources import chew

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 60


def chewed(path: Path, count: int) -> list[dict[str, Any]]:
    """What came of `count` damaged copies; fails with the decoder's stack if one hung or crashed."""
    command = [sys.executable, "-m", "tests.sources.chew", str(path), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr, len(outcomes)) == (0, "", count), done.stderr
    return outcomes


def check(outcomes: list[dict[str, Any]], path: Path, silent_share: float) -> None:
    """Each gave sound frames or one line, and what was lost is counted, where anything tells of it."""
    assert [outcome["crash"] for outcome in outcomes if "crash" in outcome] == []
    refusals = [outcome["refused"] for outcome in outcomes if "refused" in outcome]
    assert [line for line in refusals if "\n" in line or str(path) not in line] == []
    read = [outcome for outcome in outcomes if "frames" in outcome]
    assert len(read) > len(outcomes) // 3, "most of these files can still be read"
    assert all(outcome["frames"] > 0 and outcome["sound"] for outcome in read)
    for outcome in read:
        words = outcome["damage"]
        assert (words is None) == (outcome["damaged"] == 0)
        assert words is None or (str(path) in words and "\n" not in words)
    silent = [outcome["seed"] for outcome in read if outcome["frames"] < FRAMES and not outcome["damaged"]]
    assert len(silent) <= silent_share * len(outcomes), silent


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_two_hundred_damaged_mp4_with_sound_and_b_frames(tmp_path: Path, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = videos.write_video(tmp_path / "clip.mp4", FRAMES, 10, codec=codec, bframes=2, sound=True)
    check(chewed(path, 100), path, silent_share=0.02)


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4")])
def test_other_damaged_containers(tmp_path: Path, suffix: str, codec: str) -> None:
    path = videos.write_video(tmp_path / f"clip.{suffix}", FRAMES, 10, codec=codec, sound=suffix == "mkv")
    check(chewed(path, 40), path, silent_share=0.1)


def test_damaged_transport_streams(tmp_path: Path) -> None:
    """Their ends are not announced, so what is cut off is not missed."""
    path = videos.write_video(tmp_path / "clip.ts", FRAMES, 10, bframes=2, sound=True)
    outcomes = chewed(path, 40)
    assert [outcome for outcome in outcomes if "crash" in outcome] == []
    assert sum(outcome.get("damaged", 0) > 0 for outcome in outcomes) > 20


def test_damage_that_is_the_same_is_counted_the_same(tmp_path: Path) -> None:
    path = videos.damage(videos.write_video(tmp_path / "clip.mp4", FRAMES, bframes=2), 0.4, 0.6)
    counts = {json.dumps(chew.read(path)) for _ in range(5)}
    assert len(counts) == 1


def test_what_hangs_is_ended() -> None:
    script = "import time; from tests.sources.chew import deadline\nwith deadline(0.2): time.sleep(60)"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "Timeout" in done.stderr
    assert time.monotonic() - begun < 20
