"""A stretch of a stream: the files it came from, and how far, so that watching goes on there another day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from infinipot_v.sources import open_source
from infinipot_v.sources.source import Around, Source, Span
from infinipot_v.sources.times import TOLERANCE
from infinipot_v.types import Frame, UserError


@dataclass(frozen=True)
class Stretch:
    """Files watched one after another, sampled by `span`; their times are moved by `offset` seconds.

    `sizes` are the files' bytes (-1 of a folder). `first` is the time of the first frame that was given, of the files'
    own; `last` of the last one. `over`: nothing is left. `subtitles` is a file of what is said.
    """

    paths: tuple[str, ...]
    sizes: tuple[int, ...]
    span: Span
    offset: float = 0.0
    first: float | None = None
    last: float | None = None
    over: bool = False
    subtitles: str | None = None

    @classmethod
    def of(cls, paths: Sequence[Path], span: Span, subtitles: Path | None = None) -> Self:
        """A stretch of which nothing has been watched."""
        said = None if subtitles is None else str(subtitles.resolve())
        whole = [path.resolve() for path in paths]
        sizes = tuple(path.stat().st_size if path.is_file() else -1 for path in whole)
        return cls(tuple(map(str, whole)), sizes, span, subtitles=said)

    @classmethod
    def from_json(cls, found: object) -> Self | None:
        """What `as_json` gave; None for anything else."""
        try:
            match found:
                case {"paths": [*paths], "sizes": [*sizes], "span": span, **rest}:
                    more: dict[str, Any] = {str(name): value for name, value in rest.items()}
                    found = cls(tuple(map(str, paths)), tuple(map(int, sizes)), Span(**span), **more)
                    times = (found.offset, *(time for time in (found.first, found.last) if time is not None))
                    fine = all(map(math.isfinite, times)) and isinstance(found.subtitles, str | None)
                    return found if fine and paths else None
        except (TypeError, ValueError):
            pass
        return None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "paths": list(self.paths), "sizes": list(self.sizes)}

    @property
    def all(self) -> bool:
        """Whether the files were watched to their own end."""
        return self.over and self.span.end is None

    def same_files(self, other: Stretch) -> bool:
        """Whether both watch the same files, unchanged in size."""
        return (self.paths, self.sizes) == (other.paths, other.sizes)

    def after(self, seconds: float) -> Self:
        """The stretch that begins with what is left of this one behind the frame at `seconds` of the stream.

        The next frame is the one that would have come: of a single file the ticks go on, and it opens near them; of
        several, the frames of before are decoded once more and dropped.
        """
        last = seconds - self.offset
        if self.first is None or last < self.first:
            return self
        if len(self.paths) > 1:
            return replace(self, last=last)
        origin = self.first if self.span.start is None else self.span.start
        passed = math.floor((last - origin + min(TOLERANCE, 0.1 / self.span.fps)) * self.span.fps)
        return replace(self, span=replace(self.span, start=origin + (passed + 1) / self.span.fps), last=last)

    def behind(self, seconds: float) -> Self:
        """This stretch as the continuation of a stream that was watched up to `seconds`: it comes one frame later."""
        return replace(self, offset=seconds + 1 / self.span.fps - self.span.begin)

    def reached(self, seconds: float, over: bool) -> Self:
        """This stretch with the frame at `seconds` of the stream as the last in memory (minus infinity: none is)."""
        return replace(self, last=seconds - self.offset if math.isfinite(seconds) else None, over=over)

    def until(self, end: float | None) -> Self:
        """The same stretch with another end."""
        return replace(self, span=replace(self.span, end=end), over=False)


class Rest(Around):
    """The `Source` of a stretch: its frames behind `last`, in the stream's time. Raises `UserError` for none left.

    `ahead` is that of `open_source`; how far the stretch has come, frames that were given say, and none that wait.
    """

    def __init__(self, stretch: Stretch, ahead: int = 0) -> None:
        self.stretch, self.over = stretch, False
        super().__init__(_opened(stretch, ahead))

    @property
    def duration(self) -> float | None:
        """See `Source`."""
        duration = self._source.duration
        return None if duration is None else duration + self.stretch.offset

    def __next__(self) -> Frame:
        for frame in self._source:
            if self.stretch.first is None:
                self.stretch = replace(self.stretch, first=frame.seconds)
            if self.stretch.last is None or frame.seconds > self.stretch.last:
                return replace(frame, seconds=frame.seconds + self.stretch.offset)
        self.over = True
        raise StopIteration


def _opened(stretch: Stretch, ahead: int) -> Source:
    paths: str | list[str] = stretch.paths[0] if len(stretch.paths) == 1 else list(stretch.paths)
    span = stretch.span
    try:
        return open_source(
            paths, fps=span.fps, start=span.start, end=span.end, subtitles=stretch.subtitles, ahead=ahead
        )
    except UserError:
        if stretch.last is None:
            raise
        open_source(paths, subtitles=stretch.subtitles).close()  # what is wrong with the files is said first
        raise UserError(all_watched(stretch)) from None


def all_watched(stretch: Stretch) -> str:
    """What to say where nothing is left."""
    return f"{', '.join(stretch.paths)} has been watched to its end: give another video, or ask about it"
