"""InfiniPot-V (Kim, Shim, Choi, Chang; arXiv 2506.15745, NeurIPS 2025): what differs from now, and what matters.

TaR keeps past tokens whose keys differ from those of the same cell now; VaN keeps tokens with large values.
The scores themselves are in scores.py and cosines.py; this file says who gets how many slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from infinipot_v.policies.base import KVView, Note, Policy, all_slots
from infinipot_v.policies.cosines import tar_scores
from infinipot_v.policies.options import check_choice, check_share
from infinipot_v.policies.scores import (
    choose_kernel,
    combine,
    pool_held,
    pool_whole,
    top_slots,
    van_scores,
    variation,
    widest_kernel,
)
from infinipot_v.policies.steps import newest_steps, whole_steps, with_text
from infinipot_v.types import Grid, UserError


@dataclass(frozen=True)
class InfiniPotV(Policy):
    """Algorithm 2: `alpha` of the kept slots by TaR, the `recent` steps among them; the rest by pooled VaN.

    - `alpha`: share of |C| given to TaR. 0 means VaN alone: no recents, no picks.
    - `recent`: share of the slots protected as recent steps, r = floor(recent * slots / p); never more than the whole
      steps since the last compaction, and never more than the TaR share holds.
    - `pooling`: "adaptive": the kernel of a layer follows from its CV of VaN; "off": raw norms.
    - `thresholds`: CV below which the kernel is 7, 5, 3. A default of OURS: the paper chose them per model and never
      published them.
    - `tar_keys`: "stored": keys as they lie in the cache, the paper's offline form; "content": with the temporal
      rotation undone, where the cache offers that (`KVView.content`).

    Departures: the kernel is no wider than the grid allows (`widest_kernel`); "same cell" is a token's true cell, not
    its place in the cache; text in the stream is evictable, worth the best of its step; without any recent step there
    is no present to differ from, so TaR picks nothing.
    """

    name: ClassVar[str] = "infinipot-v"
    by_head: ClassVar[bool] = True

    alpha: float = 0.5
    recent: float = 0.125
    pooling: Literal["adaptive", "off"] = "adaptive"
    thresholds: tuple[float, float, float] = (0.2, 0.3, 0.4)
    tar_keys: Literal["stored", "content"] = "stored"

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        check_share("recent", self.recent)
        check_choice("pooling", self.pooling, ("adaptive", "off"))
        check_choice("tar_keys", self.tar_keys, ("stored", "content"))
        object.__setattr__(self, "thresholds", _ascending(self.thresholds))

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return exactly `keep` slots a head, int64 `[heads, keep]`: recents, TaR picks, then VaN."""
        if keep == view.slots:
            return all_slots(view)
        share = int(self.alpha * keep)
        van = with_text(self._van(view), view.steps, view.cells)
        newest = self.recent_steps(view, share)
        if len(newest) == 0:
            return top_slots(van, keep)
        recent = (view.cells >= 0) & (view.steps >= newest[0])
        picks = share - len(newest) * view.cells_per_step
        if picks == 0:
            return top_slots(van.masked_fill(recent, torch.inf), keep)
        content = view.content if self.tar_keys == "content" else None
        tar = tar_scores(view.keys, view.steps, view.cells, newest, view.cells_per_step, content)
        return combine(van, tar, recent, picks, keep)

    def on_step(self, view: KVView) -> Tensor:
        """VaN of whole, fresh steps, float32 `[heads, slots]`: raw until the layer is calibrated, pooled afterwards."""
        return self._pooled(view, van_scores(view.values), int(view.note["kernel"]) if view.note else 1)

    def calibrate(self, view: KVView) -> Note:
        """The layer's pooling `kernel` and the `variation` it follows from (left out when all values are zero)."""
        cv = variation(van_scores(view.values)[view.cells >= 0])
        assert isinstance(view.grid, Grid)
        adaptive = self.pooling == "adaptive"
        kernel = min(choose_kernel(cv, self.thresholds), widest_kernel(view.grid)) if adaptive else 1
        return {"kernel": kernel} if cv is None else {"kernel": kernel, "variation": cv}

    def rescore(self, view: KVView) -> Tensor:
        """VaN of all that is held, pooled with the kernel of `view.note`; float32 `[heads, slots]`, text -inf."""
        return self.on_step(view)

    def _van(self, view: KVView) -> Tensor:
        """Pooled VaN: as stored on arrival, else pooled over the cells that are present."""
        if view.scores is not None:
            return view.scores.float()
        norms = van_scores(view.values)
        note = view.note or self.calibrate(view)
        return self._pooled(view, norms, int(note["kernel"]))

    @staticmethod
    def _pooled(view: KVView, norms: Tensor, kernel: int) -> Tensor:
        assert isinstance(view.grid, Grid)
        if view.whole:
            return pool_whole(norms, view.grid, kernel)
        return pool_held(norms, view.steps, view.cells, view.grid, kernel)

    def recent_steps(self, view: KVView, share: int) -> Tensor:
        """Ids of the r recent steps, ascending `[r]`; `share` is floor(alpha |C|)."""
        p = view.cells_per_step
        most = min(int(self.recent * view.slots) // p, share // p)
        fresh = view.fresh_steps
        if fresh is None:
            fresh = whole_steps(view.steps, view.cells, p, most)
        return newest_steps(view.steps, view.cells, max(0, min(most, fresh)))


def _ascending(thresholds: object) -> tuple[float, float, float]:
    """The three CV limits as a tuple; raises `UserError` unless 0 <= t1 <= t2 <= t3."""
    match thresholds:
        case [int() | float() as t1, int() | float() as t2, int() | float() as t3] if 0 <= t1 <= t2 <= t3:
            return float(t1), float(t2), float(t3)
    raise UserError(f"thresholds={thresholds!r} are unusable: give three numbers, 0 <= t1 <= t2 <= t3")
