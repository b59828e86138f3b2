"""TaR alone, the paper's ablation: what differs from now (arXiv 2506.15745): `infinipot-v` with alpha = 1.

Re-implemented, not checked against its authors. Its reversal and TaR by whole frame are rows of the same table there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from infinipot_v.policies.base import KVView, Policy, all_slots
from infinipot_v.policies.chunks import chunk_of, chunks
from infinipot_v.policies.cosines import tar_scores
from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.policies.options import check_choice, check_flag, check_share
from infinipot_v.policies.scores import top_slots
from infinipot_v.policies.steps import with_text

ABOVE_THE_PAST = 2.0
"""More than any TaR: minus a mean of cosines is at most 1."""


@dataclass(frozen=True)
class TaR(Policy):
    """Keeps the recent steps, and of the past the tokens whose keys differ most from the same cell's keys now.

    - `recent`: share of the slots protected as recent steps; the rule is `infinipot-v`'s.
    - `by`: "token", or "frame": a step's tokens all score its mean TaR, over the cells that the head still holds.
      Where a step fits in part, its last cells stay.
    - `reverse`: what is most like the present stays. The recent steps stay all the same.
    - `tar_keys`: as in `infinipot-v`.

    Departures: those of `infinipot-v`, and where there is no recent step to differ from, the newest tokens stay; text
    is worth the best of its step, that of a recent step comes next behind the recent cells.
    """

    name: ClassVar[str] = "tar"
    by_head: ClassVar[bool] = True

    recent: float = 0.125
    by: Literal["token", "frame"] = "token"
    reverse: bool = False
    tar_keys: Literal["stored", "content"] = "stored"

    def __post_init__(self) -> None:
        check_share("recent", self.recent)
        check_choice("by", self.by, ("token", "frame"))
        check_flag("reverse", self.reverse)
        check_choice("tar_keys", self.tar_keys, ("stored", "content"))

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`: the recent steps, then by TaR; the newer ones among equals."""
        if keep == view.slots:
            return all_slots(view)
        newest = InfiniPotV(alpha=1.0, recent=self.recent).recent_steps(view, keep)
        if len(newest) == 0:
            return top_slots(torch.zeros_like(view.steps, dtype=torch.float32), keep)
        recent = (view.cells >= 0) & (view.steps >= newest[0])
        past = self._past(view, newest).masked_fill(recent, ABOVE_THE_PAST)
        return top_slots(with_text(past, view.steps, view.cells).masked_fill(recent, torch.inf), keep)

    def _past(self, view: KVView, newest: Tensor) -> Tensor:
        """What past vision slots are worth, float32 `[heads, slots]`; infinite elsewhere."""
        content = view.content if self.tar_keys == "content" else None
        scores = tar_scores(view.keys, view.steps, view.cells, newest, view.cells_per_step, content)
        if self.by == "frame":
            scores = step_means(scores, view.steps, view.cells, view.cells_per_step)
        return -scores if self.reverse else scores


def step_means(scores: Tensor, steps: Tensor, cells: Tensor, tokens: int) -> Tensor:
    """Give every slot the mean of the finite scores of its step in its head, float32 `[heads, slots]`.

    Slots of -inf take no part and keep it. Steps are laid out on dense rows of `tokens` cells, a few at a time, so
    that the sums need no atomics and come out the same on every run.
    """
    means, taken = torch.full_like(scores, -torch.inf), ~scores.isneginf()
    ids, rank = torch.unique(steps, return_inverse=True)
    for part in chunks(len(ids), len(scores) * tokens, chunk_of(scores)):
        head, slot = (taken & (rank >= part.start) & (rank < part.stop)).nonzero(as_tuple=True)
        row = rank[head, slot] - part.start
        dense = scores.new_full((len(scores), part.stop - part.start, tokens), torch.nan)
        dense[head, row, cells[head, slot].long()] = scores[head, slot]
        means[head, slot] = dense.nanmean(dim=-1)[head, row]
    return means
