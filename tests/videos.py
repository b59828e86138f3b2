"""Writes small real video files for tests. The grey level of a frame tells its index, so that reads can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (96, 64)
"""Width and height of what `write_video` writes."""


def picture(index: int, width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """uint8 `[height, width, 3]`: grey level `level(index)`, with a bright corner at the top left."""
    pixels = np.full((height, width, 3), level(index), dtype=np.uint8)
    pixels[: height // 4, : width // 4] = 250
    return pixels


def level(index: int) -> int:
    """The grey level of a frame; differs by 8 between neighbours, repeats after 24."""
    return 20 + 8 * (index % 24)


def write_video(
    path: Path,
    frames: int = 20,
    fps: float = 10,
    *,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = SIZE,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    bframes: int = 0,
    sound: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of `frames` pictures at `fps`, or one picture at each of `times` (seconds); its name says the container.

    `bframes` may lie between two others; `options` are the codec's. `sound` adds a silent track as long as the video.
    """
    times = [index / fps for index in range(frames)] if times is None else times
    moov_first = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=moov_first) as container:
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt, stream.gop_size, stream.bit_rate = pix_fmt, 5, 2_000_000
        stream.codec_context.max_b_frames = bframes
        # AVI counts frames: between two milliseconds' ticks it would store empty ones.
        stream.codec_context.time_base = 1 / rate if path.suffix == ".avi" else Fraction(1, 1000)
        if sound:
            container.add_stream("aac", rate=16000)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            _silence(container, len(times) / fps)
    return path


def _silence(container: av.container.OutputContainer, seconds: float) -> None:
    stream = container.streams.audio[0]
    for start in range(0, int(seconds * 16000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_audio(path: Path) -> Path:
    """An mp4 with sound only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def rotate(path: Path, matrix: tuple[int, int, int, int] = (0, 1, -1, 0)) -> Path:
    """Set the display matrix `(a, b, c, d)` of an mp4's track in place, as phones do; a quarter turn clockwise."""
    content = path.read_bytes()
    old, new = _matrix(1, 0, 0, 1), _matrix(*matrix)
    track = content.index(b"tkhd")
    path.write_bytes(content[:track] + content[track:].replace(old, new, 1))
    return path


def _matrix(a: int, b: int, c: int, d: int) -> bytes:
    one = 0x10000
    numbers = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 0x40000000]
    return b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)


def damage(path: Path, start: float, end: float) -> Path:
    """Overwrite the bytes between two fractions of the file with a fixed noise, in place."""
    content = bytearray(path.read_bytes())
    first, last = int(start * len(content)), int(end * len(content))
    content[first:last] = np.random.default_rng(0).bytes(last - first)
    path.write_bytes(content)
    return path


def first_frame(path: Path) -> np.ndarray:
    """The first picture of a file, uint8 `[height, width, 3]`."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")
