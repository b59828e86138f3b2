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


def write_video(path: Path, frames: int = 20, fps: float = 10, *, times: Sequence[float] | None = None) -> Path:
    """An mp4 of `frames` pictures at `fps`, or one picture at each of `times` (seconds)."""
    times = [index / fps for index in range(frames)] if times is None else times
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.gop_size, stream.bit_rate = "yuv420p", 5, 2_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    """An mp4 with sound only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def rotate(path: Path) -> Path:
    """Set the track's display matrix to a quarter turn clockwise, in place, as phones do."""
    content = path.read_bytes()
    still = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000]
    turned = [0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000]
    old, new = (b"".join(value.to_bytes(4, "big") for value in matrix) for matrix in (still, turned))
    track = content.index(b"tkhd")
    path.write_bytes(content[:track] + content[track:].replace(old, new, 1))
    return path


def damage(path: Path, start: float, end: float) -> Path:
    """Overwrite the bytes between two fractions of the file with a fixed noise, in place."""
    content = bytearray(path.read_bytes())
    first, last = int(start * len(content)), int(end * len(content))
    content[first:last] = np.random.default_rng(0).bytes(last - first)
    path.write_bytes(content)
    return path
