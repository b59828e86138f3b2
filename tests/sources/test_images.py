"""Folders of images, and single ones: order, time, the many kinds of pixels, and what cannot be read."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infinipot_v.sources import open_source
from infinipot_v.sources.images import natural
from infinipot_v.types import Frame, UserError
from tests import videos


def read(path: Path, **options: float) -> list[Frame]:
    with open_source(path, **options) as source:
        return list(source)


def grey(path: Path, level: int) -> Path:
    Image.new("RGB", (8, 6), (level,) * 3).save(path)
    return path


def levels(frames: list[Frame]) -> list[int]:
    return [round(float(frame.pixels.mean())) for frame in frames]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images, written out of order, with what else lies in folders."""
    path = tmp_path / "frames"
    path.mkdir()
    for index in (3, 10, 1, 7, 2, 9, 4, 8, 5, 6):
        grey(path / f"frame{index}.png", index * 10)
    (path / "notes.txt").write_text("not an image")
    (path / ".hidden.png").write_bytes(b"left behind by a copy")
    (path / "more.png").mkdir()
    return path


def test_names_sort_as_people_count(tmp_path: Path) -> None:
    names = ["b1", "a10", "a9", "A2b", "a2", "a02", "7", "a2b10", "a2b9", ""]
    ordered = sorted(map(Path, names), key=natural)
    assert [path.name for path in ordered] == ["", "7", "a02", "a2", "A2b", "a2b9", "a2b10", "a9", "a10", "b1"]


@pytest.mark.parametrize(
    ("options", "shown", "first", "gap"),
    [
        ({}, range(10, 101, 10), 0.0, 1.0),
        ({"fps": 4}, range(10, 101, 10), 0.0, 0.25),
        ({"start": 3}, range(40, 101, 10), 3.0, 1.0),
        ({"start": 2.5, "end": 6}, (40, 50, 60), 3.0, 1.0),
        ({"fps": 10, "start": 0.3, "end": 0.7}, (40, 50, 60, 70), 0.3, 0.1),
        ({"fps": 3, "end": 1 / 3}, (10,), 0.0, 1 / 3),
    ],
)
def test_images_follow_one_another(
    folder: Path, options: dict[str, float], shown: range, first: float, gap: float
) -> None:
    with open_source(folder, **options) as source:
        expected, frames = source.expected_frames, list(source)
    assert levels(frames) == list(shown)
    assert [frame.seconds for frame in frames] == pytest.approx([first + index * gap for index in range(len(frames))])
    assert expected == len(frames)
    assert source.duration == pytest.approx(10 / options.get("fps", 1))
    assert (source.damaged, source.damage) == (0, None)


def test_a_single_image_is_one_frame_at_0(tmp_path: Path) -> None:
    (frame,) = read(grey(tmp_path / "one.webp", 90), fps=0.2)
    assert (frame.seconds, frame.pixels.shape, frame.pixels.dtype) == (0.0, (6, 8, 3), np.uint8)


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    grey(tmp_path / "image.png", 50).rename(tmp_path / "video.mp4")
    assert levels(read(tmp_path / "video.mp4")) == [50]
    videos.write_video(tmp_path / "clip.mp4").rename(tmp_path / "clip.png")
    assert len(read(tmp_path / "clip.png")) == 2


def test_broken_images_are_left_out_and_counted(folder: Path) -> None:
    (folder / "frame2.png").write_bytes(b"nothing")
    (folder / "frame5.png").write_bytes((folder / "frame5.png").read_bytes()[:-30])
    (folder / "frame7.png").write_bytes(b"")
    with open_source(folder) as source:
        frames = list(source)
    assert [frame.seconds for frame in frames] == [0, 2, 3, 5, 7, 8, 9], "the others keep their times"
    assert (source.damaged, source.damage) == (3, f"3 frames of {folder} could not be decoded")


def test_when_no_image_can_be_read_it_says_so(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"nothing")
    with open_source(tmp_path) as source, pytest.raises(UserError, match=r"none of the images in .* \(a.png: ") as all_:
        list(source)
    cut = grey(tmp_path / "c.png", 5)
    cut.write_bytes(cut.read_bytes()[:-30])
    with open_source(cut) as source, pytest.raises(UserError, match=r"the image .*c.png cannot be read") as one:
        list(source)
    assert "\n" not in str(all_.value) + str(one.value)


def test_a_folder_without_images_and_one_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match="no images in the folder"):
        open_source(tmp_path)

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\): change its permissions"):
        open_source(tmp_path)


def test_a_range_without_images_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"start is 10 s, but .* ends at 10.0 s"):
        open_source(folder, start=10)
    with open_source(folder, start=2.1, end=2.9) as source, pytest.raises(UserError, match="has no image from 2.1 s"):
        list(source)


def test_a_camera_s_turn_is_undone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(videos.picture(3)).save(tmp_path / "turned.jpg", exif=exif, subsampling=0, quality=95)
    (frame,) = read(tmp_path / "turned.jpg")
    assert frame.pixels.shape == (96, 64, 3)
    assert frame.pixels[2, -3, 0] > 200 > frame.pixels[2, 2, 0]


def _palette(transparent: bool) -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 100, 50, 9, 9, 9])
    if transparent:
        image.info["transparency"] = 0
    image.putpixel((1, 0), 1)
    return image


def _half_transparent() -> Image.Image:
    image = Image.new("RGBA", (2, 1), (200, 100, 50, 128))
    image.putpixel((1, 0), (9, 9, 9, 255))
    return image


def _sixteen(level: int) -> Image.Image:
    return Image.fromarray(np.array([[level, 0x0909]], dtype=np.uint16))


@pytest.mark.parametrize(
    ("image", "first"),
    [
        (_palette(transparent=False), (200, 100, 50)),
        (_palette(transparent=True), (0, 0, 0)),
        (_half_transparent(), (100, 50, 25)),
        (_half_transparent().convert("LA"), (62, 62, 62)),
        (_sixteen(0xC812), (200, 200, 200)),
        (Image.new("1", (2, 1), 1), (255, 255, 255)),
        (Image.new("L", (2, 1), 77), (77, 77, 77)),
    ],
    ids=["palette", "palette-transparent", "alpha", "grey-alpha", "16-bit", "1-bit", "grey"],
)
def test_all_pixels_become_rgb(tmp_path: Path, image: Image.Image, first: tuple[int, int, int]) -> None:
    image.save(tmp_path / "image.png")
    pixels = read(tmp_path / "image.png")[0].pixels
    assert pixels.shape == (1, 2, 3)
    np.testing.assert_allclose(pixels[0, 0], first, atol=1)


def test_floating_point_pixels_are_refused_and_print_colours_are_not(tmp_path: Path) -> None:
    Image.new("F", (2, 2), 0.5).save(tmp_path / "depth.tiff")
    with open_source(tmp_path / "depth.tiff") as source, pytest.raises(UserError, match="floating-point"):
        list(source)
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    red, green, blue = read(tmp_path / "print.jpg")[0].pixels[0, 0]
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_what_moves_is_a_video_and_in_a_folder_its_first_picture(tmp_path: Path, suffix: str) -> None:
    images = [Image.new("RGB", (16, 16), (level,) * 3) for level in (10, 90, 170)]
    images[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=images[1:], duration=200)
    frames = read(tmp_path / f"a.{suffix}", fps=5)
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.2, 0.4])
    assert levels(frames) == [10, 90, 170]
    assert levels(read(tmp_path)) == [10]


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    for size in ((10001, 10001), (40000, 40000)):
        header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
        parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
        (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        with open_source(tmp_path / "bomb.png") as source, pytest.raises(UserError, match="100,000,000 pixels"):
            list(source)


def test_images_load_no_pyav(folder: Path) -> None:
    script = (
        "import sys; from infinipot_v import open_source; frames = list(open_source(sys.argv[1]));"
        "sys.exit(len(frames) != 10 or 'av' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(folder)], check=False).returncode == 0


def _damaged_by(rng: np.random.Generator, content: bytes) -> bytes:
    data = bytearray(content[: int(rng.integers(1, len(content) + 1))] if rng.random() < 0.3 else content)
    for _ in range(int(rng.integers(1, 12))):
        data[rng.integers(len(data))] = rng.integers(256)
    return bytes(data)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tiff", "bmp", "jp2"])
def test_damaged_images_are_read_or_counted(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"0.{suffix}")
    content, rng = (tmp_path / f"0.{suffix}").read_bytes(), np.random.default_rng(2)
    for index in range(1, 60):
        (tmp_path / f"{index}.{suffix}").write_bytes(_damaged_by(rng, content))
    with open_source(tmp_path) as source:
        frames = list(source)
    assert all(frame.pixels.dtype == np.uint8 and frame.pixels.shape[2:] == (3,) for frame in frames)
    assert len(frames) + source.damaged == 60
    assert source.damaged > 0
