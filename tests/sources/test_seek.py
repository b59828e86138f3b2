"""A `start` jumps to a key frame where the container has an index; the frames are those of the slow way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from infinipot_v.sources import open_source
from infinipot_v.sources.reel import Reel
from infinipot_v.types import Frame
from tests import videos

OPEN_GOP = {"x264-params": "open-gop=1:keyint=25:bframes=4:b-pyramid=normal:log-level=none"}
UNEVEN = [index / 10 + (index % 3) * 0.03 for index in range(90)]

CLIPS: dict[str, Callable[[Path], Path]] = {
    "b-frames.mp4": lambda path: videos.write_video(path, 150, 25, bframes=2, sound=True),
    "b-frames.mkv": lambda path: videos.write_video(path, 150, 25, bframes=2, sound=True),
    "open-gop.mp4": lambda path: videos.write_video(path, 150, 25, codec="libx264", options=OPEN_GOP),
    "open-gop.mkv": lambda path: videos.write_video(path, 150, 25, codec="libx264", options=OPEN_GOP),
    "vp8.webm": lambda path: videos.write_video(path, 150, 25, codec="libvpx"),
    "uneven.mp4": lambda path: videos.write_video(path, times=UNEVEN, bframes=2),
    "late.mkv": lambda path: videos.write_video(path, times=[500 + time for time in UNEVEN]),
    "b-frames.avi": lambda path: videos.write_video(path, 150, 25, bframes=2),
    "mpeg4.ts": lambda path: videos.write_video(path, 150, 25),
}
INDEXED = [name for name in CLIPS if not name.endswith(("avi", "ts"))]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("seek")

    def write(name: str) -> Path:
        codec = "libx264" if name.startswith("open") else "libvpx" if name.endswith("webm") else "mpeg4"
        if codec not in av.codecs_available:
            pytest.skip(f"this PyAV has no {codec}")
        path = folder / name
        return path if path.exists() else CLIPS[name](path)

    return write


def read(path: Path, **options: float) -> list[Frame]:
    with open_source(path, **options) as source:
        frames = list(source)
    assert source.damage is None
    return frames


@pytest.mark.parametrize("name", CLIPS)
def test_the_fast_way_gives_the_frames_of_the_slow_way(
    clip: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(name)
    every = [frame.seconds for frame in read(path, fps=1000)]
    last = every[-1]
    starts = [*np.random.default_rng(0).uniform(1.1, last, 4), every[len(every) // 2], last, 1.0, 1.001]
    fast = [read(path, fps=fps, start=start) for start in map(float, starts) for fps in (1000, 3)]
    monkeypatch.setattr(Reel, "seek", lambda *_: False)
    slow = [read(path, fps=fps, start=start) for start in map(float, starts) for fps in (1000, 3)]
    for one, other in zip(fast, slow, strict=True):
        assert [frame.seconds for frame in one] == [frame.seconds for frame in other]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", INDEXED)
def test_the_fast_way_is_taken(clip: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, decoded, real = clip(name), [0], Reel.pictures

    def counting(reel: Reel):  # type: ignore[no-untyped-def]
        for picture in real(reel):
            decoded[0] += 1
            yield picture

    monkeypatch.setattr(Reel, "pictures", counting)
    with open_source(path) as source:
        duration = source.duration
    assert duration is not None
    assert read(path, fps=1, start=duration - 0.5)
    assert 0 < decoded[0] <= 75


def test_a_seek_that_lands_behind_the_start_is_not_believed(
    clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = clip("b-frames.mp4"), Reel.seek
    right = [frame.seconds for frame in read(path, fps=1000, start=2.5)]
    monkeypatch.setattr(Reel, "seek", lambda reel, time: real(reel, time + 3))
    assert [frame.seconds for frame in read(path, fps=1000, start=2.5)] == right
    monkeypatch.setattr(Reel, "seek", lambda reel, time: real(reel, 1e6))
    assert [frame.seconds for frame in read(path, fps=1000, start=2.5)] == right
