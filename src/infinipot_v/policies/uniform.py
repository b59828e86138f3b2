"""Whole steps, evenly spaced over all the time seen: the frame sampler of offline video, made to stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.policies.base import KVView, Policy, all_slots
from infinipot_v.policies.scores import top_slots
from infinipot_v.policies.steps import vision_counts


@dataclass(frozen=True)
class Uniform(Policy):
    """Keeps the whole steps nearest to an even spacing from step 0 to now, the oldest and the newest among them.

    The spacing is laid anew over all time at every compaction; thinning what is left ever again would starve the
    past. All heads keep the same steps. Slots that hold no whole step go to the newest tokens left over; such a
    partial step is no candidate later, so at most one is ever held.
    """

    name: ClassVar[str] = "uniform"

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`. A view without any whole step is spread over the steps it has."""
        if keep == view.slots:
            return all_slots(view)
        ids, rank = torch.unique(view.steps, return_inverse=True)
        whole = (vision_counts(view.steps, view.cells, ids) == view.cells_per_step).all(dim=0)
        candidates = (whole if bool(whole.any()) else torch.ones_like(whole)).nonzero()[:, 0]
        most = self._widest(rank, candidates)
        chosen = torch.zeros_like(whole)
        chosen[candidates[evenly(ids[candidates].long(), min(keep // most, len(candidates)))]] = True
        return top_slots(chosen[rank].float(), keep)

    @staticmethod
    def _widest(rank: Tensor, candidates: Tensor) -> int:
        """Tokens of the widest candidate step in any head, its text included: so many slots a step are reserved."""
        tokens = rank.new_zeros(len(rank), int(rank.max()) + 1).scatter_add_(1, rank, torch.ones_like(rank))
        return int(tokens[:, candidates].max())


def evenly(ids: Tensor, count: int) -> Tensor:
    """Indices `[count]` into `ids` (ascending int64) nearest to `linspace(0, ids[-1], count)`, unique, ascending.

    `count <= len(ids)`. Everything is scaled by `count - 1`, so the spacing is exact in integers; a tie goes to the
    newer step. One step alone is the newest. Where two targets meet one step, the later target moves on to the next.
    """
    order = torch.arange(count, device=ids.device)
    scale = max(1, count - 1)
    targets = ids[-1] * (scale - (count - 1) + order)
    newer = torch.searchsorted(ids * scale, targets)
    older = (newer - 1).clamp(min=0)
    nearest = torch.where(targets - ids[older] * scale < ids[newer] * scale - targets, older, newer)
    if count == 0:
        return nearest
    return (nearest - order).cummax(0).values.clamp(max=len(ids) - count) + order
