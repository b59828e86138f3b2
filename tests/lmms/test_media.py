"""What a task of lmms-eval shows: the same is known again, parts are cut, pictures are a second apart."""

from __future__ import annotations

import pytest
from PIL import Image

from infinipot_v.lmms.media import Media
from infinipot_v.types import UserError
from tests.videos import picture, write_video


def times(media: Media, fps: float = 1.0, most: int | None = None) -> list[float]:
    with media.frames(fps, most) as frames:
        return [round(frame.seconds, 2) for frame in frames]


@pytest.mark.parametrize(
    ("text", "path", "begin", "end"),
    [
        ("a.mp4", "a.mp4", None, None), ("a.mp4#t=3,7.5", "a.mp4", 3.0, 7.5), ("a.mp4#t=,7", "a.mp4", None, 7.0),
        ("a.mp4#t=0,7", "a.mp4", None, 7.0), ("a.mp4#t=3", "a.mp4", 3.0, None), ("a#b.mp4", "a#b.mp4", None, None),
    ],
)  # fmt: skip
def test_fragments(text, path, begin, end):
    media = Media.of([text])
    assert (media.path, media.begin, media.end) == (path, begin, end)
    assert media.key == Media.of([f"{path}#t={begin or 0},99"]).key


def test_pictures_are_told_apart_by_what_is_in_them():
    one, two = (Image.fromarray(picture(index)) for index in (1, 2))
    assert Media.of([one, two]).key == Media.of([one.copy(), two.copy()]).key != Media.of([two, one]).key
    assert times(Media.of([one, two, one])) == [0, 1, 2]


@pytest.mark.parametrize("shown", [None, [], [{"type": "audio"}], ["a.mp4", "b.mp4"], [3]])
def test_nothing_to_watch(shown):
    with pytest.raises(UserError, match="one video, or pictures"):
        Media.of(shown)


def test_a_whole_video_is_spread_and_a_part_is_not(tmp_path):
    path = str(write_video(tmp_path / "a.mp4", frames=24, fps=2))
    assert times(Media.of([path])) == list(range(12))
    assert len(times(Media.of([path]), most=4)) == 4
    assert times(Media.of([f"{path}#t=0,6"]), most=4) == list(range(12))  # where it ends, its watcher says
    assert times(Media.of([f"{path}#t=5,8"])) == list(range(7))
