"""DyCoke's temporal compression (arXiv 2411.15024, section 3.2, where it is called TTM): groups of four frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.reduction.base import Memo, Reduction, similarities
from infinipot_v.types import UserError

GROUP = 4


@dataclass(frozen=True)
class DyCoke(Reduction):
    """Of every four steps the first stays whole; of the others `pruned` of the tokens go, those that changed least.

    A token is compared by cosine with the same cell of an earlier step of its group, as that was before it was reduced:
    the second and the third with the first, the fourth with the third. The `floor((1 - pruned) * cells)` tokens that
    are least alike stay. `pruned` is 0.7, the paper's K.

    Re-implemented, not checked against its authors. Departures: the unit is a step of the language model (with Qwen's
    models two frames), for behind the vision tower there are no others; at least one token of a step stays; the tokens
    that stay keep their order and, with original positions, their places; a third step is reduced when it comes,
    whether or not a fourth follows (the authors' code looks ahead, and loses a last frame without a partner); cosines
    count to four decimals, and among equals the first cells stay. Pruned tokens are dropped and merged into nothing, as
    in the authors' code. The second half of DyCoke, which prunes the cache by attention while it answers, depends on
    the question and is left out.
    """

    name: ClassVar[str] = "dycoke"
    of_tokens: ClassVar[bool] = True
    memo_steps: ClassVar[int] = 1

    pruned: float = 0.7

    def __post_init__(self) -> None:
        if isinstance(self.pruned, bool) or not isinstance(self.pruned, int | float) or not 0 <= self.pruned < 1:
            raise UserError(f"pruned={self.pruned!r} is out of range: it is a share, at least 0 and below 1")

    def keep(self, step: Tensor, memo: Memo) -> tuple[Tensor, Memo]:
        """See `Reduction.keep`."""
        following = (memo.place + 1) % GROUP
        if memo.place == 0:
            return torch.ones(len(step), dtype=torch.bool, device=step.device), Memo(following, (step.clone(),))
        (reference,) = memo.steps
        # The third step takes the first one's place: the fourth is compared with it, and a new group with nothing.
        held = {1: memo.steps, 2: (step.clone(),), 3: ()}[memo.place]
        return least_alike(similarities(step, reference), self.pruned), Memo(following, held)


def least_alike(alike: Tensor, pruned: float) -> Tensor:
    """True for the `floor((1 - pruned) * cells)` lowest of `[cells]`, at least one; the first ones among equals."""
    count = max(1, int((1 - pruned) * len(alike)))
    keep = torch.zeros(len(alike), dtype=torch.bool, device=alike.device)
    keep[alike.sort(stable=True).indices[:count]] = True
    return keep
