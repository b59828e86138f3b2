"""Frames that say what is said while they stand: a source, and cues laid to its frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from infinipot_v.sources.cues import Cue
from infinipot_v.sources.source import Source
from infinipot_v.types import Frame


def captioned(frames: Iterator[Frame], cues: Sequence[Cue], *, covered: bool = False) -> Iterator[Frame]:
    """Give every frame the text of the cues whose middle lies between it and the next one, a line each.

    So a frame is held until the next one is known; the last one takes what comes behind it. What was said before the
    first frame is left out, and with `covered` every cue that no frame shows: where frames are far apart, those are
    most. The rule is LongVideoBench's (arXiv 2407.15754, its data loader), which is always `covered`.
    """
    waiting, held = deque(sorted(cues, key=lambda cue: cue.middle)), None
    for frame in frames:
        if held is None:
            _until(waiting, frame.seconds)
        else:
            said = _until(waiting, frame.seconds)
            yield _saying(held, [cue for cue in said if not covered or _shown(cue, held, frame)])
        held = frame
    if held is not None:
        yield _saying(held, [cue for cue in waiting if not covered or _shown(cue, held)])


def _until(waiting: deque[Cue], seconds: float) -> list[Cue]:
    """Take the cues whose middle lies before `seconds`."""
    said = []
    while waiting and waiting[0].middle < seconds:
        said.append(waiting.popleft())
    return said


def _shown(cue: Cue, *frames: Frame) -> bool:
    """Whether one of the frames around its middle shows it; if none does, no other one can."""
    return any(cue.covers(frame.seconds) for frame in frames)


def _saying(frame: Frame, cues: Sequence[Cue]) -> Frame:
    text = "\n".join([frame.text, *(cue.text for cue in cues)]).strip("\n")
    return replace(frame, text=text) if cues else frame


class Captioned:
    """A `Source` of whose frames each says its cues; see `captioned`. Times of cues are those of the source."""

    def __init__(self, source: Source, cues: Sequence[Cue]) -> None:
        self._source, self._frames = source, captioned(source, _before(cues, source.duration))

    @property
    def duration(self) -> float | None:
        """See `Source`."""
        return self._source.duration

    @property
    def expected_frames(self) -> int | None:
        """See `Source`."""
        return self._source.expected_frames

    @property
    def damaged(self) -> int:
        """See `Source`."""
        return self._source.damaged

    @property
    def damage(self) -> str | None:
        """See `Source`."""
        return self._source.damage

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """See `Source`."""
        self._source.close()


def _before(cues: Sequence[Cue], end: float | None) -> list[Cue]:
    return [cue for cue in cues if end is None or cue.middle < end]
