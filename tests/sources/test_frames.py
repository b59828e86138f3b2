"""What may be watched, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from infinipot_v.sources.frames import as_frames
from infinipot_v.types import Frame, UserError

PIXELS = np.zeros((4, 6, 3), dtype=np.uint8)


def seconds(frames: Iterator[Frame]) -> list[float]:
    return [frame.seconds for frame in frames]


def test_a_frame_is_itself() -> None:
    (frame,) = as_frames(Frame(PIXELS, 2.5))
    assert frame == Frame(PIXELS, 2.5)
    assert frame.pixels is PIXELS


def test_arrays_with_times() -> None:
    assert seconds(as_frames(PIXELS, seconds=3)) == [3.0]
    assert seconds(as_frames(PIXELS, seconds=np.float32(3))) == [3.0]
    assert seconds(as_frames([PIXELS] * 3, fps=2)) == [0, 0.5, 1]
    assert seconds(as_frames([PIXELS] * 3, seconds=10, fps=2)) == [10, 10.5, 11]
    assert seconds(as_frames(np.stack([PIXELS] * 3), seconds=[1, 5, 6])) == [1, 5, 6]
    assert seconds(as_frames([Frame(PIXELS, 7), PIXELS], seconds=[8])) == [7, 8]


def test_pictures_of_pil_and_tensors_are_arrays() -> None:
    assert next(as_frames(Image.fromarray(PIXELS), seconds=0)).pixels.shape == (4, 6, 3)
    assert next(as_frames(torch.zeros(4, 6, 3, dtype=torch.uint8), seconds=0)).pixels.dtype == np.uint8


def test_nothing_is_taken_before_it_is_asked_for() -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(1)
            yield PIXELS

    frames = as_frames(endless(), fps=1)
    next(frames)
    next(frames)
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (PIXELS, {}, "no time of its own"),
        ([PIXELS, PIXELS], {"seconds": 1.0}, "no time of its own"),
        ([PIXELS, PIXELS], {}, "no time of its own"),
        (PIXELS, {"seconds": float("nan")}, "seconds from 0 on"),
        (PIXELS, {"seconds": -1.0}, "seconds from 0 on"),
        (PIXELS, {"seconds": "1"}, "seconds from 0 on"),
        (Frame(PIXELS, float("inf")), {}, "seconds from 0 on"),
        (PIXELS.astype(np.float32), {"seconds": 0}, r"float32 \[4, 6, 3\]"),
        (PIXELS[..., 0], {"seconds": 0}, r"uint8 \[4, 6\]"),
        (np.zeros((4, 6, 4), np.uint8), {"seconds": 0}, r"uint8 \[4, 6, 4\]"),
        (np.zeros((3, 4, 6), np.uint8), {"seconds": 0}, r"uint8 \[3, 4, 6\]"),
        (np.zeros((0, 6, 3), np.uint8), {"seconds": 0}, r"uint8 \[0, 6, 3\]"),
        ([Frame(PIXELS[..., 0], 0)], {}, r"uint8 \[4, 6\]"),
        ([PIXELS], {"fps": 0}, "fps is 0"),
        ("video.mp4", {}, "cannot watch str 'video.mp4'"),
        (5, {}, "cannot watch a int"),
        ([5], {}, "cannot watch a int"),
        (None, {}, "cannot watch a NoneType"),
        ({"a": PIXELS}, {}, "cannot watch a dict"),
    ],
)
def test_the_rest_is_refused(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(as_frames(source, **options))
