"""Turned and mirrored video: the eight ways to hold a camera, point by point and through real files."""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from infinipot_v.sources import open_source
from infinipot_v.sources.orientation import upright
from tests import videos
from tests.oracle.sampling import shown

EIGHT = [
    (1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
    (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0),
]  # fmt: skip
"""(a, b, c, d): as it is, three turns clockwise, mirrored left to right, upside down, and along both diagonals."""


def _noise(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("matrix", EIGHT)
def test_a_matrix_moves_every_point_where_it_says(matrix: tuple[int, int, int, int]) -> None:
    pixels = _noise()
    turned = upright(pixels, np.array(matrix).reshape(2, 2) * 65536)
    np.testing.assert_array_equal(turned, shown(pixels, matrix))
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("degrees", [-40, -10, 0, 10, 40])
@pytest.mark.parametrize("matrix", EIGHT)
def test_an_odd_angle_goes_to_the_nearest_quarter(matrix: tuple[int, int, int, int], degrees: float) -> None:
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    pixels = _noise()
    turned = upright(pixels, np.array(matrix).reshape(2, 2) @ rotation)
    np.testing.assert_array_equal(turned, shown(pixels, matrix))


def test_no_matrix_and_a_broken_one_change_nothing() -> None:
    pixels = _noise()
    assert upright(pixels, None) is pixels
    np.testing.assert_array_equal(upright(pixels, np.zeros((2, 2), dtype=np.int32)), pixels)


@pytest.mark.parametrize("matrix", EIGHT)
def test_a_clip_is_shown_as_its_matrix_says(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    path = videos.write_video(tmp_path / "phone.mp4", frames=2)
    with open_source(path) as source:
        plain = next(source).pixels
    with open_source(videos.rotate(path, matrix)) as source:
        assert np.array_equal(next(source).pixels, shown(plain, matrix))


def test_side_data_that_pyav_does_not_know_does_not_lose_the_turn(tmp_path: Path) -> None:
    """FFmpeg hands on the EXIF data of a JPEG; PyAV may not know the kind, and then refuses all side data."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture lies on its left side
    Image.fromarray(videos.picture(3)).save(tmp_path / "turned.jpg", exif=exif, subsampling=0, quality=95)
    path = tmp_path / "turned.mkv"
    with av.open(str(tmp_path / "turned.jpg")) as jpeg, av.open(str(path), "w") as video:
        stream = video.add_stream_from_template(jpeg.streams.video[0])
        for packet in jpeg.demux():
            if packet.size:
                packet.stream = stream
                video.mux(packet)
    with open_source(path) as source:
        pixels = next(source).pixels
    assert pixels.shape == (96, 64, 3)
    assert pixels[2, -3, 0] > 200 > pixels[2, 2, 0]
