"""The scene that is made in memory: every cell and every frame differ, or a wrong place would not show."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from infinipot_v.verify.scene import scene_frames


@pytest.mark.parametrize("size", [(64, 64), (112, 196), (384, 384)])
def test_no_two_cells_and_no_two_frames_are_alike(size):
    frames = scene_frames(6, *size, fps=2.0)
    assert [frame.seconds for frame in frames] == [0, 0.5, 1, 1.5, 2, 2.5]
    for one, other in itertools.combinations(frames, 2):
        assert (one.pixels != other.pixels).mean() > 0.5
    cells = [part for row in np.split(frames[0].pixels, 4) for part in np.split(row, 4, axis=1)]
    for one, other in itertools.combinations(cells, 2):
        assert np.abs(one.astype(int) - other).mean() > 20


def test_it_is_the_same_every_time():
    for one, other in zip(scene_frames(3, 90, 70), scene_frames(2, 90, 70, first=1), strict=False):
        assert one.pixels.dtype == np.uint8 and one.pixels.shape == (90, 70, 3)
        assert other.seconds == one.seconds + 1
    assert np.array_equal(scene_frames(3, 90, 70)[2].pixels, scene_frames(1, 90, 70, first=2)[0].pixels)
