"""What every source is, which part of it is asked for, and the manners that all of ours share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from infinipot_v.sources.damage import Damage
from infinipot_v.sources.times import MOST_SECONDS
from infinipot_v.types import Frame, UserError

MOST_FPS = 1000
"""No video has more frames a second."""


class Source(Protocol):
    """An iterator of `Frame` in ascending time: one pass, used in a `with` statement.

    All a source needs; a live one fits as well, it just knows neither its duration nor how many frames will come.
    """

    @property
    def duration(self) -> float | None:
        """Seconds from its beginning to its end, whatever part is asked for; None if unknown."""

    @property
    def expected_frames(self) -> int | None:
        """An estimate of how many frames will come, for a progress bar; None if unknown."""

    @property
    def damaged(self) -> int:
        """How many frames were lost or harmed so far."""

    @property
    def damage(self) -> str | None:
        """The damage so far in one line, with counts and the file's name; None if there is none."""

    def __iter__(self) -> Self: ...

    def __next__(self) -> Frame: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def close(self) -> None:
        """Free what is held; no more frames come. Twice is once."""


@dataclass(frozen=True)
class Span:
    """What is asked for: `fps` frames a second, from `start` (inclusive) to `end` (exclusive) seconds.

    Raises `UserError` for a rate that is not above 0, a time that is none, or an empty range.
    """

    fps: float = 1.0
    start: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.fps, Real) and 0 < self.fps <= MOST_FPS):
            raise UserError(f"fps is {self.fps}: give a number above 0 and at most {MOST_FPS}, such as 1 or 0.5")
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not (isinstance(value, Real) and 0 <= value <= MOST_SECONDS):
                raise UserError(f"{name} is {value}: give seconds from 0 to {MOST_SECONDS:.0e}")
        if self.end is not None and self.begin >= self.end:
            raise UserError(f"start ({self.begin:g} s) is not before end ({self.end:g} s): nothing would be watched")

    @property
    def begin(self) -> float:
        """`start`, or 0."""
        return self.start or 0.0

    def within(self, duration: float) -> float:
        """How many seconds of the range lie in a stream of `duration` seconds."""
        return max(0.0, min(duration, math.inf if self.end is None else self.end) - self.begin)

    def since(self, offset: float) -> Span:
        """The same range, as a part sees it that begins at `offset` seconds, before the range's end."""
        start = None if self.begin <= offset else self.begin - offset
        return Span(self.fps, start, None if self.end is None else self.end - offset)

    def __str__(self) -> str:
        return f"from {self.begin:g} s" + ("" if self.end is None else f" to {self.end:g} s")


class Once(ABC):
    """An iterator of frames that is used once, in a `with` statement, and closed behind it."""

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def __next__(self) -> Frame: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Free what is held; no more frames come. Twice is once."""


class OnePass(Once):
    """Frames of one generator, `_give`; closing ends it. The sources of this room derive from it."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.ends: float | None = None
        """Where the frames seen so far end: the last one's time and how long it stands; None before any."""
        self._frames = self._give()

    @abstractmethod
    def _give(self) -> Generator[Frame, None, None]:
        """The frames. Frees what it holds when it ends or is closed."""

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Free what is held; no more frames come. Twice is once."""
        self._frames.close()


class OneFile(OnePass):
    """Frames of one file or folder at `path`, whose losses are counted in `_harm` while they are given."""

    def __init__(self, path: Path, span: Span) -> None:
        self.path = path
        self._harm = Damage(str(path))
        super().__init__(span)

    @property
    def damaged(self) -> int:
        """How many frames were lost or harmed so far."""
        return self._harm.total

    @property
    def damage(self) -> str | None:
        """The same in one line; None if there is none."""
        return str(self._harm) or None


class Around(Once):
    """A `Source` around another one: it says what that says of itself, and closing it closes that."""

    def __init__(self, source: Source) -> None:
        self._source = source

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

    def close(self) -> None:
        """See `Source`."""
        self._source.close()
