"""Positions on three axes: Qwen2-VL counts steps, Qwen2.5-VL seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from infinipot_v.positions.base import Clock
from infinipot_v.types import Block, Grid, UserError

TextStart = Literal["max", "hf"]

_ROUNDING = 1e-4
"""Times that should fall on a whole index arrive as 1.9999999; a ten-thousandth of an index is no time at all."""


COMPACT_STEPS = 1024
"""Different steps that find place in the trained range with compact positions, however far apart they were seen."""


@dataclass(frozen=True)
class MRopeClock(Clock):
    """Positions on three axes (time, height, width), as Qwen2-VL and Qwen2.5-VL are trained (arXiv 2409.12191, 2.1).

    A vision token of step t at (h, w) lies at (start + i(t), start + h, start + w), `start` being the first position
    behind the prefix. i(t) = t, or floor(seconds(t) * rate) where the model's time is absolute (`rate` indices a
    second, Qwen2.5-VL's `tokens_per_second`; seconds count from the first step's).

    What is said ends the video as far as positions go, and another one begins behind it, as in a prompt of several
    videos with text between them: text lies behind all that was before, one position a token on all three axes, and the
    next steps count from there (`base`; `steps` and `origin` are then those of the newest video).

    Text behind the video starts at the largest position of all + 1 (`text="max"`), as the models were trained and
    transformers 4 did; `text="hf"` follows transformers 5, which starts it at start + max(grid height, grid width)
    and spaces the steps evenly in float32 (`whole_seconds`: by whole seconds, as some of its releases do).

    `at_rank` makes the positions compact: `steps` is then the rank of the next step among those held, and time that
    is absolute runs on evenly, by the interval of the stream's first two steps, but by one index a step at least (steps
    that share an index have no order) and by 1/`COMPACT_STEPS` of the limit at most. Ours: the paper (section 3) leaves
    open how three axes are to be re-assigned. A text token takes a rank of its own, or its words would have no order;
    once something was `spoken` a rank is one index, as a token of text is.
    """

    by_step: ClassVar[bool] = True

    grid: Grid = field(kw_only=True)
    rate: float | None = None
    text: TextStart = "max"
    whole_seconds: bool = False
    steps: int = 0
    origin: float = 0.0
    interval: float | None = None
    latest: int = -1
    compact: bool = False
    base: int = 0
    spoken: bool = False

    @property
    def next_text(self) -> int:
        """See `Clock`."""
        extent = max(self.grid.height, self.grid.width)
        if self.steps == 0:
            return self.start + self.base
        return self.start + self.base + (extent if self.text == "hf" else max(extent, self.latest + 1))

    @property
    def furthest(self) -> int:
        """See `Clock`."""
        extent, first = max(self.grid.height, self.grid.width), self.start + self.base
        return first + max(self.latest, extent - 1) if self.steps else first - 1

    def place(self, block: Block) -> tuple[Tensor, MRopeClock]:
        """Return int64 positions `[3, 1, tokens]` of a block and the clock after it. Raises `StreamTooLong`."""
        places, after = self._advance(block)
        _, step = block.steps.unique_consecutive(return_inverse=True)
        first, time, time_said, said = torch.tensor(places)[step].T
        cells, text = block.cells.long(), block.cells < 0
        seen = torch.stack([time, cells // self.grid.width, cells % self.grid.width]) + first
        order = _order(step, text)
        heard = torch.stack([time_said + order, said + order, said + order])
        self.check(after.furthest + self.reserve)
        return (torch.where(text, heard, seen) + self.start)[:, None], after

    def text_positions(self, tokens: int, behind: int = 0) -> Tensor:
        """Positions `[3, 1, tokens]`; see `Clock`."""
        first = self.next_text + behind
        self.check(first + tokens - 1)
        return torch.arange(first, first + tokens).expand(3, 1, tokens)

    def indices(self, steps: Tensor) -> Tensor:
        """Temporal indices i(t) of step numbers, any shape. Where time is absolute, steps count as evenly spaced."""
        if self.rate is None:
            return steps
        return (steps.double() * self._spacing + _ROUNDING).floor()

    @property
    def _spacing(self) -> float:
        """Indices from a step to the next, where time is absolute and steps count as evenly spaced."""
        spacing = (self.rate or 0.0) * (self.interval or 0.0)
        if not self.compact:
            return spacing
        if self.spoken:
            return 1.0
        most = float("inf") if self.limit is None else self.limit / COMPACT_STEPS
        return max(1.0, min(spacing, most))

    def prefix_positions(self) -> Tensor:
        """Positions `[3, 1, start]` of the prefix."""
        return torch.arange(self.start).expand(3, 1, self.start)

    def at_rank(self, ranks: int) -> MRopeClock:
        """The clock of a memory whose heads hold tokens of at most `ranks` different steps."""
        latest = int(self.indices(torch.tensor(ranks - 1))) if ranks else -1
        return replace(self, steps=ranks, latest=latest, compact=True)

    def positions_of(self, ranks: Tensor) -> Tensor:
        """Temporal positions of ranks, counted from the oldest; with original positions these are step numbers.

        Raises `UserError` for original positions of a stream in which something was said: they follow from no number.
        """
        if self.spoken and not self.compact:
            raise UserError(
                "where something is said in the stream, keys can be compared by content with positions='compact' only "
                "(--positions compact)"
            )
        return self.start + self.indices(ranks).long()

    def continues(self, fresh: Clock, reserve: int) -> bool:
        """See `Clock`."""
        if not isinstance(fresh, MRopeClock):
            return False
        later = replace(
            fresh, reserve=reserve, steps=self.steps, origin=self.origin, interval=self.interval, latest=self.latest,
            compact=self.compact, base=self.base, spoken=self.spoken,
        )  # fmt: skip
        times = (self.origin, self.interval or 0.0)
        return (
            self == later
            and self.steps >= 0
            and self.latest >= -1
            and self.base >= 0
            and all(map(math.isfinite, times))
        )

    def _advance(self, block: Block) -> tuple[list[tuple[int, int, int, int]], MRopeClock]:
        """Places of each step, and the clock behind all.

        Places: where the step's video begins, the step's index, and time and place of what is said behind it.
        """
        spoken, places = _said(block), []
        clock = self._speaking() if any(spoken) else self
        for moment, said in zip(block.seconds, spoken, strict=True):
            clock = clock._tick(moment)
            behind = clock.next_text - clock.start
            rank = int(clock.indices(torch.tensor(clock.steps))) if clock.compact else behind
            places.append((clock.base, clock.latest, rank, behind))
            clock = clock._hear(said) if said else clock
        return places, clock

    def _speaking(self) -> MRopeClock:
        """The same moment of a stream in which something is said."""
        clock = replace(self, spoken=True)
        return clock.at_rank(clock.steps) if clock.compact else clock

    def _hear(self, tokens: int) -> MRopeClock:
        """Behind so many tokens of what is said."""
        if self.compact:
            return self.at_rank(self.steps + tokens)
        return replace(self, base=self.next_text - self.start + tokens, steps=0, latest=-1)

    def _tick(self, moment: float) -> MRopeClock:
        first = self.steps == 0 and (self.interval is None or not self.compact)
        origin = moment if first else self.origin
        interval = self.interval
        if interval is None and self.steps == 1:
            interval = moment - origin
        if not first and moment < origin:
            raise UserError(
                f"a step at {moment:.3f} s comes before the stream's first, at {origin:.3f} s: times must ascend"
            )
        after = replace(self, steps=self.steps + 1, origin=origin, interval=interval)
        return replace(after, latest=after._index(self.steps, moment - origin))

    def _index(self, step: int, elapsed: float) -> int:
        """The temporal index of the step number `step`, `elapsed` seconds into the stream."""
        if self.rate is None:
            return step
        if self.compact:
            return int(self.indices(torch.tensor(step)))
        if self.text == "hf" and self.interval is not None:
            interval = int(self.interval) if self.whole_seconds else self.interval
            return int((torch.tensor(step) * (self.rate * interval)).long())
        return math.floor(elapsed * self.rate + _ROUNDING)


def _said(block: Block) -> list[int]:
    """Text tokens of each step of a block."""
    _, step = block.steps.unique_consecutive(return_inverse=True)
    counts: list[int] = torch.bincount(step[block.cells < 0], minlength=len(block.seconds)).tolist()
    return counts


def _order(step: Tensor, text: Tensor) -> Tensor:
    """Of every text token its place among those of its step, from 0; `step` and `text` `[tokens]`."""
    seen = text.long().cumsum(0) - text.long()
    first = torch.zeros_like(seen).scatter_reduce_(0, step, seen, "amin", include_self=False)
    return seen - first[step]
