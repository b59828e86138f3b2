"""Positions on one line, as plain text has them: LLaVA, InternVL, SmolVLM."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from infinipot_v.positions.base import Clock
from infinipot_v.types import Block


@dataclass(frozen=True)
class LineClock(Clock):
    """Every token takes the next position; `placed` have been taken behind the prefix.

    With original positions a stream ends where the model's positions end. With compact ones (METHOD: keys cached
    before RoPE, positions re-assigned within |M|; arXiv 2506.15745, section 3) the rank of a slot is its position:
    `at_rank(held)` is the clock of a memory of `held` tokens, and no position passes prefix + |M| + room.
    """

    placed: int = 0

    @property
    def next_text(self) -> int:
        """See `Clock`."""
        return self.start + self.placed

    @property
    def furthest(self) -> int:
        """See `Clock`."""
        return self.start + self.placed - 1

    def place(self, block: Block) -> tuple[Tensor, LineClock]:
        """Return int64 positions `[1, tokens]` of a block and the clock after it. Raises `StreamTooLong`."""
        after = replace(self, placed=self.placed + block.steps.numel())
        self.check(after.furthest + self.reserve)
        return torch.arange(self.next_text, after.next_text)[None], after

    def text_positions(self, tokens: int, behind: int = 0) -> Tensor:
        """Positions `[1, tokens]`; see `Clock`."""
        first = self.next_text + behind
        self.check(first + tokens - 1)
        return torch.arange(first, first + tokens)[None]

    def prefix_positions(self) -> Tensor:
        """Positions `[1, start]` of the prefix."""
        return torch.arange(self.start)[None]

    def at_rank(self, ranks: int) -> LineClock:
        """The clock of a memory of `ranks` stream tokens."""
        return replace(self, placed=ranks)

    def positions_of(self, ranks: Tensor) -> Tensor:
        """Positions of stream slots, counted from the oldest."""
        return self.start + ranks

    def continues(self, fresh: Clock, reserve: int) -> bool:
        """See `Clock`."""
        if not isinstance(fresh, LineClock):
            return False
        return self.placed >= 0 and self == replace(fresh, placed=self.placed, reserve=reserve)
