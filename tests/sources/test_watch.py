"""Real files through a session: other sizes are letterboxed and counted, damage ends no stream."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infinipot_v import Budget, Decoding, Session, load_model, open_source
from infinipot_v.models.base import Model
from tests import videos


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> Model:
    return load_model(checkpoint("qwen2_vl"), device="cpu")


@pytest.fixture
def session(model: Model) -> Session:
    return Session(model, Budget(tokens=64), tokens_per_step=8, decoding=Decoding(max_new_tokens=2))


def test_frames_of_another_size_are_letterboxed_and_counted(session: Session, tmp_path: Path) -> None:
    wide = videos.write_video(tmp_path / "wide.mp4", 20)
    tall = videos.rotate(Path(shutil.copy(wide, tmp_path / "tall.mp4")))
    small = videos.write_video(tmp_path / "small.mkv", 20, size=(48, 48))
    (tmp_path / "images").mkdir()
    for index in range(4):
        Image.fromarray(videos.picture(index, 50, 20)).save(tmp_path / "images" / f"{index}.png")
    with open_source([wide, tall, wide, small, tmp_path / "images"], fps=2) as source:
        session.watch(source)
    report = session.report()
    assert report.frames == 5 * 4 and report.steps == 10
    assert report.letterboxed_frames == 3 * 4
    assert report.seconds == pytest.approx(9.5)
    assert report.held_tokens <= 64


def test_damage_does_not_end_a_stream(session: Session, tmp_path: Path) -> None:
    sound = videos.write_video(tmp_path / "sound.mp4", 60, bframes=2)
    harmed = videos.damage(Path(shutil.copy(sound, tmp_path / "harmed.mp4")), 0.4, 0.7)
    with open_source([harmed, sound], fps=5) as source:
        session.watch(source)
    report = session.report()
    assert source.damaged > 0 and "harmed.mp4" in (source.damage or "")
    assert 30 < report.frames <= 60
    assert session.ask("What?").tokens > 0


def test_arrays_at_times_are_a_stream_too(session: Session) -> None:
    session.watch(videos.picture(0), seconds=0.0)
    session.watch((videos.picture(index) for index in range(1, 6)), seconds=1.0, fps=2)
    session.watch(np.stack([videos.picture(index) for index in range(2)]), seconds=[10.0, 12.5])
    report = session.report()
    assert (report.frames, report.seconds, report.letterboxed_frames) == (8, 12.5, 0)
