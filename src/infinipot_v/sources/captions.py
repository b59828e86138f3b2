"""Frames that say what is said while they stand: what a cue is, and a source with cues laid to its frames."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from infinipot_v.sources.source import Around, Source
from infinipot_v.types import Frame


@dataclass(frozen=True)
class Cue:
    """`text` on the screen from `start` to `end`, seconds of its video."""

    start: float
    end: float
    text: str

    @property
    def middle(self) -> float:
        """The second that it is told apart from others by."""
        return (self.start + self.end) / 2

    def covers(self, moment: float) -> bool:
        """Whether a picture of that moment would have it; a short one counts as a second long."""
        half = max(0.5, (self.end - self.start) / 2)
        return self.middle - half < moment < self.middle + half


def captioned(
    frames: Iterator[Frame], cues: Sequence[Cue], *, shown: bool = False, stands: float = math.inf
) -> Generator[Frame, None, None]:
    """Give every frame the text of the cues whose middle lies between it and the next one, a line each.

    So a frame is held until the next one is known. The last one takes what follows in the seconds that it `stands`;
    what was said before the first is left out. With `shown` so is every cue that no frame shows: where frames are far
    apart, those are most. Whatever `frames` raises comes behind the frame that is held.

    This is LongVideoBench's rule (arXiv 2407.15754, its data loader), with `shown`.
    """
    waiting, held = deque(sorted(cues, key=lambda cue: cue.middle)), None
    try:
        for frame in frames:
            said = _taken(waiting, frame.seconds)
            if held is not None:
                yield _saying(held, [cue for cue in said if not shown or _shown(cue, held, frame)])
            held = frame
    except Exception as error:
        failure: Exception | None = error
    else:
        failure = None
    if held is not None:
        said = _taken(waiting, held.seconds + stands)
        yield _saying(held, [cue for cue in said if not shown or _shown(cue, held)])
    if failure is not None:
        raise failure


def _taken(waiting: deque[Cue], before: float) -> list[Cue]:
    """Take away the cues whose middle lies `before` a moment."""
    said = []
    while waiting and waiting[0].middle < before:
        said.append(waiting.popleft())
    return said


def _shown(cue: Cue, *frames: Frame) -> bool:
    """Whether one of the frames around its middle shows it; if none does, no other one can."""
    return any(cue.covers(frame.seconds) for frame in frames)


def _saying(frame: Frame, cues: Sequence[Cue]) -> Frame:
    text = "\n".join([frame.text, *(cue.text for cue in cues)]).strip("\n")
    return replace(frame, text=text) if cues else frame


class Captioned(Around):
    """A `Source` whose frames say the cues; see `captioned`. Times of cues are those of the source."""

    def __init__(self, source: Source, cues: Sequence[Cue], stands: float = math.inf) -> None:
        end = math.inf if source.duration is None else source.duration
        super().__init__(source)
        self._frames = captioned(source, [cue for cue in cues if cue.middle < end], stands=stands)

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """See `Source`."""
        self._frames.close()
        super().close()
