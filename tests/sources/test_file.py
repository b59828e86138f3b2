"""Video files: sampling by time, damage, and everything that is no video. The clips are made here."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from infinipot_v.sources import open_source
from infinipot_v.sources.file import VideoFile
from infinipot_v.types import Frame, UserError
from tests import videos


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames at 10 a second."""
    return videos.write_video(tmp_path_factory.mktemp("clips") / "clip.mp4")


def read(path: Path, **options: float) -> list[Frame]:
    with open_source(path, **options) as source:
        return list(source)


def times(frames: list[Frame]) -> list[float]:
    return [round(frame.seconds, 3) for frame in frames]


def test_every_frame_is_given_once_when_the_rate_is_high(clip: Path) -> None:
    frames = read(clip, fps=1000)
    assert times(frames) == [round(index / 10, 3) for index in range(20)]
    for index, frame in enumerate(frames):
        assert frame.pixels.shape == (64, 96, 3)
        assert frame.pixels.dtype == np.uint8
        assert abs(int(frame.pixels[-1, -1, 0]) - videos.level(index)) <= 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1]),
        ({"fps": 2}, [0, 0.5, 1, 1.5]),
        ({"fps": 3}, [0, 0.4, 0.7, 1, 1.4, 1.7]),
        ({"fps": 0.1}, [0]),
        ({"start": 0.55}, [0.6, 1.6]),
        ({"fps": 10, "start": 0.5, "end": 0.8}, [0.5, 0.6, 0.7]),
        ({"fps": 10, "end": 0.3}, [0, 0.1, 0.2]),
        ({"fps": 10, "start": 1.7, "end": 100}, [1.7, 1.8, 1.9]),
        ({"start": 0}, [0, 1]),
    ],
)
def test_a_tick_gives_the_first_frame_not_before_it(
    clip: Path, options: dict[str, float], expected: list[float]
) -> None:
    frames = read(clip, **options)
    assert times(frames) == expected
    for frame in frames:
        assert abs(int(frame.pixels[-1, -1, 0]) - videos.level(round(frame.seconds * 10))) <= 3


def test_a_variable_frame_rate_keeps_true_times_and_repeats_nothing(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "v.mp4", times=[0, 0.1, 0.15, 0.9, 1.0, 3.7, 3.8, 3.9, 6.0])
    assert times(read(path, fps=2)) == [0, 0.9, 1, 3.7, 6]
    assert times(read(path, fps=100)) == [0, 0.1, 0.15, 0.9, 1.0, 3.7, 3.8, 3.9, 6.0]


def test_times_count_from_the_start_of_the_stream(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "late.mkv", times=[100 + index / 10 for index in range(20)])
    assert times(read(path, fps=2)) == [0, 0.5, 1, 1.5]
    assert times(read(path, fps=2, start=1)) == [1, 1.5]


@pytest.mark.parametrize("suffix", ["mkv", "avi", "mov"])
@pytest.mark.parametrize("fps", [3, 7, 29.97])
def test_rounded_timestamps_lose_no_tick(tmp_path: Path, suffix: str, fps: float) -> None:
    """Matroska rounds to a millisecond; asking for the file's own rate gives every frame of it."""
    path = videos.write_video(tmp_path / f"rounded.{suffix}", frames=30, fps=fps)
    assert len(read(path, fps=fps)) == 30


def test_a_stream_without_timestamps_gets_the_file_s_rate(tmp_path: Path) -> None:
    raw = tmp_path / "raw.m4v"
    with av.open(str(raw), "w", format="m4v") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = videos.SIZE
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(videos.picture(index), format="rgb24")))
        container.mux(stream.encode())
    with open_source(raw, fps=1000) as source:
        seconds = times(list(source))
    assert len(seconds) == 20
    assert seconds[0] == 0
    assert all(later > earlier for earlier, later in pairwise(seconds))


def test_duration_and_expected_frames(clip: Path) -> None:
    with open_source(clip) as source:
        assert source.duration == pytest.approx(2.0, abs=0.01)
        assert source.expected_frames == 2
    for options, expected in [
        ({"fps": 5}, 10),
        ({"fps": 1000}, 20),
        ({"start": 1.0, "fps": 10}, 10),
        ({"end": 1.0}, 1),
    ]:
        with open_source(clip, **options) as source:
            assert source.expected_frames == expected == len(list(source))


def test_a_rotated_clip_is_turned_as_players_turn_it(tmp_path: Path) -> None:
    path = videos.rotate(videos.write_video(tmp_path / "phone.mp4"))
    pixels = read(path)[0].pixels
    assert pixels.shape == (96, 64, 3)
    bright = [bool(pixels[y, x, 0] > 200) for y, x in [(2, 2), (2, -3), (-3, -3), (-3, 2)]]
    assert bright == [False, True, False, False]  # the corner at the top left went to the top right
    assert pixels.flags.c_contiguous


def test_a_damaged_file_gives_what_decodes_and_counts_the_rest(tmp_path: Path) -> None:
    path = videos.damage(videos.write_video(tmp_path / "damaged.mp4", 60), 0.5, 0.6)
    with open_source(path, fps=10) as source:
        assert (source.damaged, source.damage) == (0, None)
        seconds = times(list(source))
        assert source.damaged > 0
        assert re.fullmatch(
            rf"\d+ frames? of {path} (could not be decoded|went missing|decoded with errors).*", source.damage or ""
        )
    assert 30 <= len(seconds) < 60 + 1
    assert seconds[:20] == [round(index / 10, 3) for index in range(20)]
    assert seconds[-1] == 5.9


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_truncated_file_gives_its_beginning_and_says_what_is_missing(tmp_path: Path, suffix: str) -> None:
    path = videos.write_video(tmp_path / f"truncated.{suffix}", 60, bframes=1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    with open_source(path, fps=10) as source:
        frames = list(source)
    assert 10 <= len(frames) < 60
    assert times(frames)[:-1] == [round(index / 10, 3) for index in range(len(frames) - 1)]
    assert f"ends at {frames[-1].seconds + 0.1:.1f} s, not at 6.0 s" in (source.damage or "")
    if suffix == "mp4":
        assert source.damaged >= 60 - len(frames), "its header counts the frames"


def test_the_part_that_is_asked_for_is_whole_though_the_end_is_missing(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "truncated.mp4"
    path.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    with open_source(path, fps=10, end=0.5) as source:
        assert len(list(source)) == 5
        assert source.damage is None


def test_frames_missing_from_the_middle_are_counted_where_the_rate_is_constant(tmp_path: Path) -> None:
    """Matroska is passed over in silence where it cannot be read."""
    path = videos.write_video(tmp_path / "hole.mkv", times=[index / 10 for index in range(60) if not 30 <= index < 40])
    with open_source(path, fps=10) as source:
        assert len(list(source)) == 50
    assert (source.damaged, source.damage) == (10, f"10 frames of {path} went missing")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi", "ts"])
def test_a_sound_file_is_not_called_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sound.{suffix}"
    uneven = {"times": [3 + index / 7 for index in range(30)]} if suffix != "avi" else {}  # which has no times
    for options in ({}, {"bframes": 2, "sound": True}, {"fps": 29.97}, uneven):
        videos.write_video(path, 60, **options)
        for part in ({}, {"start": 1.2}, {"end": 1.0}, {"start": 1.2, "end": 1.5}):
            with open_source(path, fps=100, **part) as source:
                assert list(source)
            assert (source.damaged, source.damage) == (0, None), (options, part)


@pytest.mark.skipif("libx264" not in av.codecs_available, reason="this PyAV has no libx264")
def test_a_fragmented_file_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "fragments.mp4"
    whole = videos.write_video(tmp_path / "whole.mp4", 60, codec="libx264", bframes=2)
    options = {"movflags": "frag_keyframe+dash+default_base_moof"}
    with av.open(str(whole)) as container, av.open(str(path), "w", options=options) as fragments:
        stream = fragments.add_stream_from_template(container.streams.video[0])
        for packet in container.demux():
            if packet.size:
                packet.stream = stream
                fragments.mux(packet)
    with open_source(path, fps=100) as source:
        assert len(list(source)) == 60
    assert source.damage is None


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_variable_rate_is_no_damage(tmp_path: Path, suffix: str) -> None:
    path = videos.write_video(tmp_path / f"v.{suffix}", times=[0, 0.1, 0.15, 0.9, 1.0, 3.7, 3.8, 3.9, 6.0, 6.1])
    with open_source(path, fps=100) as source:
        assert len(list(source)) == 10
    assert source.damage is None


def test_when_nothing_decodes_it_says_so(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "hollow.mp4"
    content = clip.read_bytes()
    begin = content.index(b"mdat") + 4
    path.write_bytes(content[:begin] + bytes(len(content) - begin))
    with open_source(path) as source, pytest.raises(UserError, match=r"no frame of .* could be decoded"):
        list(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"fps": -1}, "fps is -1"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"fps": float("inf")}, "fps is inf"),
        ({"start": -1}, "start is -1"),
        ({"end": float("nan")}, "end is nan"),
        ({"start": 2, "end": 2}, "not before end"),
        ({"end": 0}, "not before end"),
        ({"start": 50}, "start is 50 s, but .* ends at 2.0 s"),
        ({"start": 1.95, "end": 1.99}, "has no frame from 1.95 s to 1.99 s"),
        ({"fps": "fast"}, "fps is fast"),
        ({"start": "1"}, "start is 1: give seconds"),
    ],
)
def test_impossible_ranges_are_refused(clip: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(clip, **options)
    assert "\n" not in str(caught.value)


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage!" * 1000)


def _header_only(path: Path) -> None:
    path.write_bytes(videos.write_video(path).read_bytes()[:300])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (Path.mkdir, "no images in the folder"),
        (Path.touch, "is empty"),
        (_garbage, "not a video"),
        (_header_only, "no video stream|not a video"),
        (videos.write_audio, "no video stream"),
        (lambda path: path.write_text("just text\n" * 100), "not a video"),
    ],
)
def test_what_is_no_video_gets_one_clear_line(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "thing.mp4"
    make(path)
    with pytest.raises(UserError, match=message) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["txt", "nfo", "md", "json", "py"])
def test_text_is_no_video_under_any_name(tmp_path: Path, suffix: str) -> None:
    """FFmpeg draws text files as terminal output, if one lets it."""
    path = tmp_path / f"notes.{suffix}"
    path.write_text("hello\n" * 50)
    with pytest.raises(UserError, match="not a video"):
        open_source(path)


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_the_file_is_freed_whatever_happens(clip: Path, tmp_path: Path) -> None:
    audio = videos.write_audio(tmp_path / "audio.mp4")
    gc.collect()
    before = _open_files()
    with suppress(RuntimeError), open_source(clip, fps=10) as source:
        next(source)
        raise RuntimeError
    with pytest.raises(UserError):
        open_source(audio)
    with pytest.raises(UserError):
        open_source(clip, start=50)
    assert _open_files() == before


def test_closing_ends_the_frames_and_may_come_twice(clip: Path) -> None:
    source = open_source(clip, fps=10)
    assert isinstance(source, VideoFile)
    next(source)
    source.close()
    source.close()
    assert list(source) == []


def test_a_reader_that_stops_can_go_on(clip: Path) -> None:
    with open_source(clip, fps=10) as source:
        for frame in source:
            if frame.seconds > 0.45:
                break
        assert times(list(source))[0] == 0.6


def test_real_clips(media: Path) -> None:
    for path in sorted(media.glob("*.mp4")):
        with open_source(path, fps=0.5) as source:
            frames = list(source)
            assert source.damaged == 0
            assert abs(len(frames) - source.expected_frames) <= 1, path
        gaps = np.diff([frame.seconds for frame in frames])
        assert np.all((gaps > 1.8) & (gaps < 2.2)), path
