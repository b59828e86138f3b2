"""Several paths as one stream: times go on, start and end count over all, and damage says which file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from infinipot_v.sources import open_source
from infinipot_v.types import UserError
from tests import videos


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """2 s at 10 frames a second, 1.5 s at 4, and 3 s at 10: five videos would be one of 6.5 s."""
    folder = tmp_path_factory.mktemp("clips")
    return [
        videos.write_video(folder / "a.mp4", 20, 10),
        videos.write_video(folder / "b.mkv", 6, 4),
        videos.write_video(folder / "c.mp4", 30, 10, bframes=2),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(1, 4):
        Image.new("RGB", (8, 6), (index * 10,) * 3).save(tmp_path / f"{index}.png")
    return tmp_path


def seconds(paths: Any, **options: float) -> list[float]:
    with open_source(paths, **options) as source:
        return [round(frame.seconds, 3) for frame in source]


def test_each_begins_where_the_one_before_it_ended(clips: list[Path]) -> None:
    assert seconds(clips, fps=2) == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6]
    every = seconds(clips, fps=1000)
    assert len(every) == 20 + 6 + 30
    assert [every[20], every[26]] == [2.0, 3.5]
    assert every[-1] == 6.4


def test_each_is_sampled_as_it_would_be_alone(clips: list[Path]) -> None:
    assert seconds(clips) == [0, 1, 2, 3, 3.5, 4.5, 5.5]


def test_all_kinds_may_be_mixed(clips: list[Path], folder: Path) -> None:
    with open_source((clips[0], folder, folder / "2.png", str(clips[1])), fps=2) as source:
        assert (source.duration, source.expected_frames) == (pytest.approx(2 + 1.5 + 0.5 + 1.5), 11)
        frames = list(source)
    assert [frame.seconds for frame in frames] == pytest.approx([index / 2 for index in range(11)])
    assert [int(frame.pixels.mean()) for frame in frames[4:8]] == [10, 20, 30, 20]


@pytest.mark.parametrize("end", [None, 2.05, 3.6, 5.0])
@pytest.mark.parametrize("start", [None, 0.75, 1.9, 2.0, 3.4, 4.55, 6.3])
def test_start_and_end_count_over_all(clips: list[Path], start: float | None, end: float | None) -> None:
    if start is not None and end is not None and start >= end:
        return
    low, high = start or 0.0, end or 100.0
    every = [time for time in seconds(clips, fps=1000) if low - 1e-3 <= time < high - 1e-3]
    assert seconds(clips, fps=1000, start=start, end=end) == every


def test_a_start_in_a_later_file_does_not_move_the_times(clips: list[Path]) -> None:
    """Nor does it when the files before it are long, and are not read to be passed over."""
    assert seconds([*clips, *clips], fps=10, start=10.0) == seconds([*clips, *clips], fps=10)[-30:]


def test_what_is_expected_comes(clips: list[Path], folder: Path) -> None:
    for options in ({}, {"fps": 4}, {"start": 2.5}, {"start": 1.0, "end": 4.0, "fps": 2}, {"end": 1.0}):
        with open_source([*clips, folder], **options) as source:
            assert abs((source.expected_frames or 0) - len(list(source))) <= 2, options


def test_a_recording_in_pieces_is_the_whole_recording(tmp_path: Path) -> None:
    whole = videos.write_video(tmp_path / "whole.mp4", 40)
    pieces = [videos.write_video(tmp_path / f"{piece}.mp4", 20) for piece in range(2)]
    assert seconds(pieces, fps=5) == seconds(whole, fps=5)


def test_damage_says_which_file(clips: list[Path], tmp_path: Path) -> None:
    harmed = videos.damage(Path(shutil.copy(clips[2], tmp_path / "harmed.mp4")), 0.5, 0.7)
    with open_source(harmed, fps=10) as alone:
        alone_frames = list(alone)
    with open_source([clips[0], harmed, clips[1]], fps=10) as source:
        frames = list(source)
    assert source.damaged == alone.damaged > 0
    assert source.damage == alone.damage
    assert len(frames) == 20 + len(alone_frames) + 6
    assert all(earlier.seconds < later.seconds for earlier, later in pairwise(frames))


def test_the_report_of_many_damaged_files_stays_a_line(tmp_path: Path) -> None:
    paths = []
    for index in range(5):
        paths.append(videos.write_video(tmp_path / f"{index}.mp4"))
        paths[-1].write_bytes(paths[-1].read_bytes()[:-400])
    with open_source(paths, fps=10) as source:
        list(source)
    assert source.damage is not None and source.damage.endswith("; and 2 more files are damaged")
    assert [str(path) in source.damage for path in paths] == [True, True, True, False, False]


def _hollow(path: Path) -> Path:
    """A sound header and no picture behind it."""
    content = videos.write_video(path).read_bytes()
    begin = content.index(b"mdat") + 4
    path.write_bytes(content[:begin] + bytes(len(content) - begin))
    return path


def _headed(path: Path) -> Path:
    """The tables of a transport stream, and the first bytes of a picture: nothing that could fail to be decoded."""
    path.write_bytes(videos.write_video(path).read_bytes()[:564])
    return path


@pytest.mark.parametrize(("make", "name"), [(_hollow, "hollow.mp4"), (_headed, "headed.ts")])
def test_a_file_without_a_picture_is_counted_and_takes_no_time(
    clips: list[Path], tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    hollow = make(tmp_path / name)
    with open_source([clips[0], hollow, clips[1]], fps=2) as source:
        assert [round(frame.seconds, 3) for frame in source] == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert source.damaged > 0
    assert str(hollow) in (source.damage or "")


def test_when_no_file_gives_a_frame_it_says_so(tmp_path: Path) -> None:
    paths = [_hollow(tmp_path / f"{index}.mp4") for index in range(2)]
    with open_source(paths) as source, pytest.raises(UserError, match="none of the 2 paths gave a frame") as caught:
        list(source)
    assert str(paths[0]) in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_path_is_found_before_anything_is_watched(clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file: .*nothing.mp4"):
        open_source([*clips, tmp_path / "nothing.mp4"])


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no path is given"),
        ([b"a"], "cannot open a bytes"),
        ([["a"]], "cannot open a list"),
        (5, "cannot open a int"),
        (None, "cannot open a NoneType"),
        ("", "cannot open ''"),
        ([""], "cannot open ''"),
    ],
)
def test_what_is_no_path_is_refused(paths: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source(paths)


def test_a_start_behind_the_end_of_all_is_refused(clips: list[Path]) -> None:
    with pytest.raises(UserError, match=r"start is 7 s, but the stream ends at 6.5 s"):
        open_source(clips, start=7)


def test_closing_in_the_middle_frees_the_file_and_ends_the_frames(clips: list[Path]) -> None:
    with open_source(clips, fps=10) as source:
        for frame in source:
            if frame.seconds > 2.2:
                break
    assert list(source) == []
    source.close()
