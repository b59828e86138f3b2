"""The stretch of video that questions are about: opened, sampled by the recipe, broken ones named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from infinipot_v.evaluate.base import BrokenVideo
from infinipot_v.evaluate.field.recipes import Recipe
from infinipot_v.models.base import MOST_TEXT, Model
from infinipot_v.sources import Source, open_source
from infinipot_v.sources.ahead import FRAMES
from infinipot_v.sources.captions import Cue
from infinipot_v.types import Frame, UserError

STILLS_FPS = 1.0
"""Folders of pictures and .npy arrays hold a frame a second, in every benchmark that ships them."""


@dataclass(frozen=True)
class Clip:
    """A video, or its part from `start` to `end` seconds; `rate` frames a second are taken once it is known.

    A video is a file, a folder of numbered pictures, or a .npy array uint8 `[frames, height, width, 3]`.
    """

    name: str
    path: Path
    start: float | None = None
    end: float | None = None
    rate: float = 1.0

    @property
    def exists(self) -> bool:
        """Whether anything is there."""
        return self.path.exists()

    @property
    def is_array(self) -> bool:
        """Whether its frames are an array's."""
        return self.path.suffix == ".npy"

    def seconds(self) -> float:
        """How long the stretch is. Raises `BrokenVideo` where that is not known, or nothing."""
        if self.is_array:
            duration: float | None = len(_array(self.path)) / STILLS_FPS
        else:
            with opened(replace(self, rate=1.0, start=None, end=None)) as source:
                duration = source.duration
        if duration is None:
            raise BrokenVideo(f"{self.path.name} does not say how long it is")
        seconds = min(duration, duration if self.end is None else self.end) - (self.start or 0.0)
        if seconds <= 0:
            raise BrokenVideo(f"{self.path.name} ends at {duration:g} s, before the clip begins")
        return seconds

    @contextmanager
    def frames(self) -> Iterator[tuple[Iterator[Frame], Source | None]]:
        """Its frames, times counted from its start, and the source that knows of damage, where there is one.

        What fails on the way is the video's fault.
        """
        if self.is_array:
            yield self._thinned(_array_frames(self.path)), None
        elif self.path.is_dir():
            with opened(replace(self, rate=STILLS_FPS)) as source:
                yield self._shifted(self._thinned(source)), source
        else:
            with opened(self) as source:
                yield self._shifted(source), source

    def _shifted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        try:
            for frame in frames:
                yield replace(frame, seconds=max(0.0, frame.seconds - (self.start or 0.0)))
        except BrokenVideo:
            raise
        except UserError as error:
            raise BrokenVideo(str(error)) from error

    def _thinned(self, stills: Iterator[Frame]) -> Iterator[Frame]:
        """Of pictures a second apart those that the rate takes."""
        due = 0.0
        for frame in stills:
            if frame.seconds + 1e-6 >= due:
                yield frame
                due += 1 / self.rate


@contextmanager
def opened(clip: Clip) -> Iterator[Source]:
    """Open a clip. Raises `BrokenVideo` where that is not possible."""
    try:
        source = open_source(clip.path, fps=clip.rate, start=clip.start, end=clip.end, ahead=FRAMES)
    except UserError as error:
        raise BrokenVideo(str(error)) from error
    with source:
        yield source


def _array(path: Path) -> np.ndarray:
    try:
        frames: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BrokenVideo(f"{path.name} is no array of frames ({error})") from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise BrokenVideo(f"{path.name} is no array uint8 [frames, height, width, 3] but {frames.dtype} {frames.shape}")
    return frames


def _array_frames(path: Path) -> Iterator[Frame]:
    for index, pixels in enumerate(_array(path)):
        yield Frame(np.ascontiguousarray(pixels), index / STILLS_FPS)


def spoken_tokens(model: Model, cue: Cue) -> int:
    """Tokens of a line of subtitles, alone."""
    return len(model.prompt.said(cue.text, model.around_text, MOST_TEXT)[0])


def sampling(recipe: Recipe, family: str, seconds: float, whole: bool) -> tuple[float, int]:
    """Frames a second, and how many there will be in `seconds` of video at most.

    A video that is watched `whole` before it is asked about gives at most the recipe's number of frames for the family,
    evenly spread; at least one.
    """
    rate, most = recipe.fps, recipe.frames_of(family)
    if whole and most is not None:
        rate = min(rate, most / seconds)
    return rate, max(1, int(seconds * rate) + 1)
