"""InfiniPot-V by slot arithmetic, as the authors' research code counts (re-implemented from its described behaviour).

For comparison only. The survivors are taken for an intact grid of frames x cells: after one compaction that is no
longer true, and "same cell" compares different cells. Nothing here was copied; it does not crash where that does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.policies.base import KVView, Policy, all_slots
from infinipot_v.policies.cosines import tar_scores
from infinipot_v.policies.options import check_choice, check_share
from infinipot_v.policies.scores import combine, top_slots, van_scores
from infinipot_v.types import Grid


@dataclass(frozen=True)
class InfiniPotVCode(Policy):
    """Algorithm 2 on the grid that slot indices pretend to be; text counts as any other slot.

    The newest slots fill whole frames: f = floor(slots / p). The oldest ones that fill none form a frame that begins
    with empty cells; it has columns, is no recent, and is padded with zeros for pooling as the borders are.

    - `alpha`: share of |C| given to TaR.
    - `recent`: share of the f frames that is protected, r = floor(recent * f). Departure: never more than the TaR share
      holds; with r = 0 TaR picks nothing and all goes by VaN.
    - `pooling`: "quarters": by quarter of the layers a 3-D average of kernel 7, a 2-D one of 5, a 1-D one of 3 along
      the slots, none; padding counts, so borders score low. "off": raw norms.
    """

    name: ClassVar[str] = "infinipot-v-code"

    alpha: float = 0.5
    recent: float = 0.25
    pooling: Literal["off", "quarters"] = "off"

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        check_share("recent", self.recent)
        check_choice("pooling", self.pooling, ("off", "quarters"))

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return exactly `keep` slots a head, int64 `[heads, keep]`."""
        if keep == view.slots:
            return all_slots(view)
        p, share = view.cells_per_step, int(self.alpha * keep)
        van = van_scores(view.values)
        if self.pooling == "quarters":
            van = pool_by_quarter(van, view)
        r = min(int(self.recent * (view.slots // p)), share // p)
        if r == 0:
            return top_slots(van, keep)
        frames, columns = slot_labels(view)
        newest = frames[0, -1] + 1 - torch.arange(r, 0, -1, device=frames.device)
        tar = tar_scores(view.keys, frames, columns, newest, p)
        return combine(van, tar, frames >= newest[0], share - r * p, keep)


def slot_labels(view: KVView) -> tuple[Tensor, Tensor]:
    """Frame and column that the slot index alone suggests, int64 `[heads, slots]` each; the last slot ends a frame."""
    p = view.cells_per_step
    index = torch.arange(view.slots, device=view.keys.device) + (-view.slots) % p
    return (index // p).expand(len(view.keys), -1), (index % p).expand(len(view.keys), -1)


def pool_by_quarter(van: Tensor, view: KVView) -> Tensor:
    """Average pooling fixed by the layer's quarter; zero padding, counted. `[heads, slots]` to the same."""
    assert isinstance(view.grid, Grid)
    quarter = 4 * view.layer // view.num_layers
    lead = (-view.slots) % view.cells_per_step
    frames = F.pad(van, (lead, 0)).view(len(van), -1, view.grid.height, view.grid.width)
    if quarter == 0:
        # avg_pool3d refuses grids smaller than its kernel: sums over space, then over time
        space = F.avg_pool2d(frames, 7, stride=1, padding=3, divisor_override=1).flatten(2)
        frames = F.avg_pool2d(space, (7, 1), stride=1, padding=(3, 0), divisor_override=7**3)
    elif quarter == 1:
        frames = F.avg_pool2d(frames, 5, stride=1, padding=2)
    elif quarter == 2:
        van = F.avg_pool1d(van, 3, stride=1, padding=1)
    return frames.flatten(1)[:, lead:] if quarter < 2 else van
