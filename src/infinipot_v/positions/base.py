"""What every clock answers, whatever the model's position encoding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from infinipot_v.types import Block, UserError


class StreamTooLong(UserError):
    """The next position lies beyond what the model was trained for."""


@dataclass(frozen=True)
class Clock(ABC):
    """Positions of one stream, `start` being the first behind the prefix.

    Steps leave `reserve` positions below `limit` free, so that a stream that has come to its end can still be asked.
    `listening`: something may be said in the stream.
    """

    by_step: ClassVar[bool] = False
    """Whether all tokens of a step share one position on the axis that compact positions re-assign."""

    start: int
    limit: int | None = None
    reserve: int = 0
    listening: bool = False

    @property
    @abstractmethod
    def next_text(self) -> int:
        """The position of the first text token behind what has been placed."""

    @property
    @abstractmethod
    def furthest(self) -> int:
        """The largest position placed so far; that of the prefix's end before any."""

    @property
    def usable(self) -> int | None:
        """Positions that steps may take; None where the model names no limit."""
        return None if self.limit is None else self.limit - self.reserve

    @abstractmethod
    def place(self, block: Block) -> tuple[Tensor, Self]:
        """Return the int64 positions of a block and the clock after it. Raises `StreamTooLong`."""

    @abstractmethod
    def text_positions(self, tokens: int, behind: int = 0) -> Tensor:
        """Positions of text that follows the video and `behind` earlier text tokens. Raises `StreamTooLong`."""

    @abstractmethod
    def prefix_positions(self) -> Tensor:
        """Positions of the prefix, 0 to `start` - 1."""

    @abstractmethod
    def at_rank(self, ranks: int) -> Self:
        """The clock of a memory whose newest step or slot has the rank `ranks` - 1 (positions="compact")."""

    @abstractmethod
    def positions_of(self, ranks: Tensor) -> Tensor:
        """Positions of ranks, any shape: of stream slots on one axis, of steps on the time axis (`by_step`).

        Raises `UserError` where they follow from no number.
        """

    @abstractmethod
    def continues(self, fresh: Clock, reserve: int) -> bool:
        """Whether this is `fresh` later in its stream, with `reserve` positions left free: for clocks from a file."""

    def check(self, position: int) -> None:
        """Raise `StreamTooLong` unless the model was trained for `position`."""
        if self.limit is not None and position >= self.limit:
            raise StreamTooLong(
                f"the {self.limit} positions that the model was trained for are used up: "
                "start a new session, watch at a lower fps, or go without an end: a policy with a budget, and "
                "positions='compact' (--positions compact)"
            )
