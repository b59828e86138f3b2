"""Several sources one after another, as one stream: times go on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from infinipot_v.sources.source import OnePass, Source, Span
from infinipot_v.types import Frame, UserError

NAMED = 3
"""Damaged files that the report describes; of the others it gives the number."""


class Part(Source, Protocol):
    """What a chain asks of its links."""

    @property
    def ends(self) -> float | None:
        """Once all frames were given: where they end. None if there were none at all."""


class Chain(OnePass):
    """A `Source` of paths, each sampled as it would be alone, and moved to where the one before it ended.

    A part ends where its last frame ends: that frame's time, and how long it stands. `start` and `end` count from the
    beginning of the first. Every part is opened once at the beginning, so that a wrong path is found before anything
    is watched, and then one at a time. A part of which nothing can be decoded takes no time, and counts as damage.
    """

    def __init__(self, paths: Sequence[Path], span: Span, open_one: Callable[[Path, Span], Part]) -> None:
        self.paths, self._open_one = tuple(paths), open_one
        self._damage: list[tuple[int, str]] = []
        self._part: Part | None = None
        self.duration, self.expected_frames = self._measured(span)
        super().__init__(span)

    @property
    def damaged(self) -> int:
        """The damage of all parts so far."""
        return sum(count for count, _ in self._damages())

    @property
    def damage(self) -> str | None:
        said = [words for _, words in self._damages()]
        more = [f"and {len(said) - NAMED} more files are damaged"] if len(said) > NAMED else []
        return "; ".join(said[:NAMED] + more) or None

    def _damages(self) -> list[tuple[int, str]]:
        now = self._part
        return [*self._damage, *([(now.damaged, now.damage)] if now and now.damage else [])]

    def _measured(self, span: Span) -> tuple[float | None, int | None]:
        """Duration and expected frames of all parts together, by what they say of themselves; None if one is silent."""
        duration, frames = 0.0, 0
        silent = False
        for path in self.paths:
            asked_for = span.end is None or duration < span.end
            with self._open_one(path, span.since(duration) if asked_for else Span(span.fps)) as part:
                silent |= part.duration is None
                frames += part.expected_frames or 0 if asked_for else 0
                duration += part.duration or 0.0
        return (None, None) if silent else (duration, frames)

    def _give(self) -> Generator[Frame, None, None]:
        offset, given, reasons = 0.0, 0, list[str]()
        for path in self.paths:
            if self.span.end is not None and offset >= self.span.end:
                break
            with self._open_one(path, self.span.since(offset)) as self._part:
                for frame in self._frames_of(self._part, reasons):
                    given += 1
                    yield replace(frame, seconds=offset + frame.seconds)
            offset += self._part.ends or 0.0
            self._damage, self._part = self._damages(), None
        self.ends = offset
        if not given:
            raise UserError(f"none of the {len(self.paths)} paths gave a frame {self.span}; the first: {reasons[0]}")

    def _frames_of(self, part: Part, reasons: list[str]) -> Iterator[Frame]:
        """Frames of a part; one that has none is no reason to stop."""
        try:
            yield from part
        except UserError as error:
            reasons.append(str(error))
            if part.ends is None and not part.damage:
                self._damage.append((1, str(error)))
