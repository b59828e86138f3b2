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
    videos with text between them: a word lies behind all that was before, at one position on all three axes, and the
    next steps begin behind it (`base`; `steps`, `origin` and `latest` count from there).

    Text behind the video starts at the largest position of all + 1 (`text="max"`), as the models were trained and
    transformers 4 did; `text="hf"` follows transformers 5, which starts it at start + max(grid height, grid width)
    and spaces the steps evenly in float32 (`whole_seconds`: by whole seconds, as some of its releases do).

    `at_rank` makes the positions compact: `steps` is then the rank of the next step among those held, and time that
    is absolute runs on evenly, by the interval of the stream's first two steps, but by one index a step at least (steps
    that share an index have no order) and by 1/`COMPACT_STEPS` of the limit at most. Ours: the paper (section 3) leaves
    open how three axes are to be re-assigned. A word takes a rank of its own, or words would have no order, and lies at
    it on all three axes; so where the clock is `listening`, a rank is one index, whatever the time between steps. What
    is re-assigned later is time alone: on the other axes a word stays where it was said.
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
        base, index, behind = torch.tensor(places)[step].T
        cells, is_word = block.cells.long(), block.cells < 0
        picture = torch.stack([index, cells // self.grid.width, cells % self.grid.width]) + base
        positions = self.start + torch.where(is_word, behind + _order(step, is_word), picture)
        self.check(max(after.furthest, int(positions.max())) + self.reserve)
        return positions[:, None], after

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
        if self.listening:
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

        Raises `UserError` for original positions of a stream in which something may be said: see `Clock`.
        """
        if self.listening and not self.compact:
            raise UserError(
                "where something may be said in the stream, keys can be compared by content with positions='compact' "
                "only (--positions compact)"
            )
        return self.start + self.indices(ranks).long()

    def continues(self, fresh: Clock, reserve: int) -> bool:
        """See `Clock`."""
        if not isinstance(fresh, MRopeClock):
            return False
        later = replace(
            fresh, reserve=reserve, steps=self.steps, origin=self.origin, interval=self.interval, latest=self.latest,
            compact=self.compact, base=self.base,
        )  # fmt: skip
        times = (self.origin, self.interval or 0.0)
        counts = self.steps >= 0 and self.latest >= -1 and self.base >= 0
        return self == later and counts and all(map(math.isfinite, times))

    def _advance(self, block: Block) -> tuple[list[tuple[int, int, int]], MRopeClock]:
        """For each step where its video begins, its index, and where words behind it begin; and the clock behind all.

        All three are counted from `start`, the index from where the video begins.
        """
        clock, places = self, []
        for moment, words in zip(block.seconds, _words(block), strict=True):
            clock = clock._tick(moment)
            places.append((clock.base, clock.latest, clock._next_word))
            clock = clock._behind(words)
        return places, clock

    @property
    def _next_word(self) -> int:
        """Where a word lies that is said now, counted from `start`."""
        return self.steps if self.compact else self.next_text - self.start

    def _behind(self, words: int) -> MRopeClock:
        """The clock behind so many words."""
        if not words:
            return self
        if self.compact:
            return self.at_rank(self.steps + words)
        return replace(self, base=self._next_word + words, steps=0, latest=-1)

    def _tick(self, moment: float) -> MRopeClock:
        # Ranks may begin anew where the stream goes on, and its interval stays.
        first = self.steps == 0 and not (self.compact and self.interval is not None)
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


def _words(block: Block) -> list[int]:
    """Text tokens of each step of a block."""
    _, step = block.steps.unique_consecutive(return_inverse=True)
    counts: list[int] = torch.bincount(step[block.cells < 0], minlength=len(block.seconds)).tolist()
    return counts


def _order(step: Tensor, is_word: Tensor) -> Tensor:
    """Of every text token its place among those of its step, from 0; both `[tokens]`, steps counted from 0."""
    before = is_word.long().cumsum(0) - is_word.long()
    first = torch.zeros_like(before).scatter_reduce_(0, step, before, "amin", include_self=False)
    return before - first[step]
