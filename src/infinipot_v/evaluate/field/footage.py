"""The stretch of video that questions are about: opened, sampled by the recipe, broken ones named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from infinipot_v.evaluate.base import BrokenVideo
from infinipot_v.evaluate.field.recipes import Recipe
from infinipot_v.sources import Source, open_source
from infinipot_v.types import Frame, UserError


@dataclass(frozen=True)
class Clip:
    """A video file, or its part from `start` to `end` seconds; `rate` frames a second are taken once it is known."""

    name: str
    path: Path
    start: float | None = None
    end: float | None = None
    rate: float = 1.0

    def seconds(self, duration: float | None) -> float:
        """How long the stretch is. Raises `BrokenVideo` where that is not known, or nothing."""
        end = duration if self.end is None else min(self.end, duration or self.end)
        seconds = (end or 0.0) - (self.start or 0.0)
        if seconds <= 0:
            raise BrokenVideo(f"nothing of {self.path.name} lies between {self.start or 0:g} and {self.end} s")
        return seconds

    def shifted(self, source: Source) -> Iterator[Frame]:
        """Its frames, times counted from its start; what fails on the way is the video's fault."""
        try:
            for frame in source:
                yield replace(frame, seconds=max(0.0, frame.seconds - (self.start or 0.0)))
        except UserError as error:
            raise BrokenVideo(str(error)) from error


@contextmanager
def opened(clip: Clip, rate: float) -> Iterator[Source]:
    """Open a clip. Raises `BrokenVideo` where that is not possible."""
    try:
        source = open_source(clip.path, fps=rate, start=clip.start, end=clip.end)
    except UserError as error:
        raise BrokenVideo(str(error)) from error
    with source:
        yield source


def sampling(recipe: Recipe, family: str, offline: float | None, seconds: float) -> tuple[float, int]:
    """Frames a second, and how many there will be in `seconds`.

    A video that is watched whole (`offline` seconds long) gives at most the recipe's number of frames for the family,
    evenly spread; at least one.
    """
    rate = recipe.fps
    most = recipe.frames_of(family)
    if offline is not None and most is not None:
        rate = min(rate, most / offline)
    return rate, max(1, int(seconds * rate) + 1)
