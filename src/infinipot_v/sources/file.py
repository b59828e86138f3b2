"""Frames of a video file, sampled by their timestamps. Only frames that are given out get converted.

Knows no budget and no model. A damaged file gives what decodes, and counts what does not.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path

import av

from infinipot_v.sources.damage import Damage
from infinipot_v.sources.reel import Reel
from infinipot_v.sources.source import OneFile, Span
from infinipot_v.sources.times import JUMP, TOLERANCE, Rhythm, Ticks, Timeline
from infinipot_v.types import Frame, UserError

MARGIN = 1.0
"""Seconds before `start` to look for a key frame, for frames are stored in another order than they are shown."""


class VideoFile(OneFile):
    """A `Source`. Each tick (`times.Ticks`) gives the first frame at or after it, with that frame's own time.

    Damage is packets that did not decode, frames with errors or without a place in time, and an end that is missing.
    Nothing is given twice, so there are never more frames than the file has. Times count from the start of the video
    stream. A `start` jumps to the key frame before it where the container has an index.
    """

    def __init__(self, path: Path, span: Span) -> None:
        super().__init__(path, span)
        self._reel = Reel(path, self._harm)
        self._rhythm = Rhythm(self._reel.gap)
        self.duration = self._reel.duration

    @property
    def expected_frames(self) -> int | None:
        """An estimate of how many frames will come; None if the file does not tell how long it is."""
        if self.duration is None:
            return None
        return math.ceil(self.span.within(self.duration) * min(self.span.fps, 1 / self._reel.gap) - TOLERANCE)

    def close(self) -> None:
        super().close()
        self._reel.close()

    def _give(self) -> Generator[Frame, None, None]:
        ticks, given = Ticks(self.span.fps, self.span.start, self.span.end), 0
        for picture, seconds in self._timed():
            if ticks.over(seconds):
                break
            pixels = self._reel.pixels(picture) if ticks.due(seconds) else None
            if pixels is not None:
                given += 1
                yield Frame(pixels, seconds)
        else:
            self._reel.note_the_end(self.ends or 0.0, self._rhythm)
        self._reel.close()
        if not given:
            raise UserError(self._nothing())

    def _nothing(self) -> str:
        if self.ends is not None and (self.span.start or self.span.end):
            return f"{self.path} has no frame {self.span}: widen the range"
        return (
            f"no frame of {self.path} could be decoded: the file is damaged or its codec unknown; convert it to H.264"
        )

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Pictures from the beginning, or from a key frame before `start`, and their places in time."""
        timeline = Timeline(self._reel.zero, self._reel.gap, self.duration)
        for picture, time in self._near_start() or self._reel.pictures():
            seconds = timeline.place(time)
            self._harm.misplaced = timeline.misplaced
            if seconds is not None:
                self._rhythm.beat(seconds)
                self.ends = seconds + self._stands(picture, seconds)
                yield picture, seconds

    def _stands(self, picture: av.VideoFrame, seconds: float) -> float:
        """How long the picture is shown: what the file says, where that can be."""
        said, room = self._reel.stands(picture), JUMP if self.duration is None else self.duration - seconds + 1.0
        return said if 0 < said <= room else self._reel.gap

    def _near_start(self) -> Iterator[tuple[av.VideoFrame, float | None]] | None:
        """Pictures from the key frame before `start`; None, and all is as it was, where that was not to be found."""
        target = self.span.begin - MARGIN
        if target <= 0 or self._reel.zero is None or not self._reel.seek(self._reel.zero + target):
            return None
        pictures = self._reel.pictures()
        first = next(pictures, None)
        if first is None or first[1] is None or first[1] - self._reel.zero > self.span.begin:
            self._rewind()
            return None
        return chain([first], pictures)

    def _rewind(self) -> None:
        self._reel.close()
        self._harm = Damage(str(self.path))
        self._reel = Reel(self.path, self._harm)
