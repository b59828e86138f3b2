"""A real video file as a stream without end: decoded frame by frame, and again from its beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.sources import open_source
from infinipot_v.types import Frame


@dataclass(frozen=True)
class Footage:
    """`fps` frames a second of the file at `path`; `size` is (height, width), `seconds` the file's length."""

    path: Path
    fps: float
    size: tuple[int, int]
    seconds: float

    @classmethod
    def of(cls, path: Path, fps: float) -> Footage:
        """Look at all of a file once. Raises `UserError` for what is no video and for a rate that is none."""
        size, last = (0, 0), 0.0
        with open_source(path, fps=fps) as source:
            for frame in source:
                size, last = size if any(size) else (frame.pixels.shape[0], frame.pixels.shape[1]), frame.seconds
        return cls(path, fps, size, last + 1 / fps)

    @property
    def about(self) -> dict[str, Any]:
        """What figures depend on."""
        return {"file": self.path.name, "fps": self.fps, "frame": list(self.size), "seconds": round(self.seconds, 3)}

    def frames(self) -> Iterator[Frame]:
        """Its frames over and over, times going on."""
        passed = 0.0
        while True:
            with open_source(self.path, fps=self.fps) as source:
                for frame in source:
                    yield Frame(frame.pixels, passed + frame.seconds)
            passed += self.seconds
