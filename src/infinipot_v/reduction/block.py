"""A block with less in it: which tokens stay, where they lie, and what is remembered behind each step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from infinipot_v.positions import Clock
from infinipot_v.reduction.base import Memo, Reduction
from infinipot_v.types import Block


@dataclass(frozen=True)
class Reduced:
    """A whole block, `keep` bool `[tokens]` on the CPU, and one memo a step: what is known behind it.

    Text goes with its step: it stays while any cell of the step does.
    """

    block: Block
    keep: Tensor
    memos: tuple[Memo, ...]

    @classmethod
    def of(cls, reduction: Reduction, block: Block, memo: Memo) -> Reduced:
        """Ask the reduction about every step in turn, beginning with the memo of the step before the block."""
        steps = len(block.seconds)
        if not reduction.of_tokens:
            return cls(block, torch.ones(block.steps.numel(), dtype=torch.bool), (memo,) * steps)
        keeps, memos = [], []
        for index in range(steps):
            keep, memo = _reduced(reduction, block.part(index, 1), memo)
            keeps.append(keep)
            memos.append(memo)
        return cls(block, torch.cat(keeps), tuple(memos))

    @property
    def steps(self) -> int:
        """Steps of the whole block."""
        return len(self.block.seconds)

    @cached_property
    def kept(self) -> Block:
        """The tokens that stay; steps without any are not in it. `[0, hidden]` where nothing stays."""
        if bool(self.keep.all()):
            return self.block
        assert not self.block.extras, "extras belong to whole blocks"
        whole, stay = self.block, self.keep.to(self.block.embeddings.device)
        seconds = tuple(at for at, count in zip(whole.seconds, self._counts(), strict=True) if count)
        return replace(
            whole, embeddings=whole.embeddings[stay], steps=whole.steps[self.keep], cells=whole.cells[self.keep],
            seconds=seconds,
        )  # fmt: skip

    @property
    def dropped(self) -> int:
        """Tokens that do not stay."""
        return int((~self.keep).sum())

    def steps_within(self, tokens: int, first: int) -> int:
        """How many steps from `first` on keep at most `tokens` tokens together; 1 if not even one does."""
        ends = torch.tensor(self._counts()[first:]).cumsum(0)
        return max(1, int((ends <= tokens).sum()))

    def part(self, first: int, count: int) -> Reduced:
        """The steps `first` to `first + count`, counted from the block's first."""
        before, here = self.block.part(0, first).steps.numel(), self.block.part(first, count)
        keep = self.keep[before : before + here.steps.numel()]
        return Reduced(here, keep, self.memos[first : first + count])

    def placed(self, clock: Clock, compact: bool) -> tuple[Tensor, Clock]:
        """Positions of the tokens that stay, as `Clock.place` gives them, and the clock behind the block.

        A token lies where it would lie if nothing had been left out. With compact positions that is a rank among what
        is held, so what is left out takes none.
        """
        if not compact:
            positions, after = clock.place(self.block)
            return positions[..., self.keep], after
        if not self.kept.seconds:
            return torch.empty(0, dtype=torch.long), clock
        return clock.place(self.kept)

    def _counts(self) -> list[int]:
        """Tokens that stay, step by step."""
        _, step = self.block.steps.unique_consecutive(return_inverse=True)
        return torch.bincount(step[self.keep], minlength=self.steps).tolist()


def _reduced(reduction: Reduction, step: Block, memo: Memo) -> tuple[Tensor, Memo]:
    """Which tokens of one whole step stay, bool `[tokens]`, and what is known behind it."""
    vision = step.cells >= 0
    cells, memo = reduction.keep(step.embeddings[vision.to(step.embeddings.device)], memo)
    keep = torch.full_like(vision, bool(cells.any()))
    keep[vision] = cells.cpu()
    return keep, memo
