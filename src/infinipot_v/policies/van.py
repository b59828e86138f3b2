"""VaN alone, the paper's ablation: what carries large values (arXiv 2506.15745): `infinipot-v` with alpha = 0.

Re-implemented, not checked against its authors. Its reversal and VaN without pooling are rows of the same table there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from infinipot_v.policies.base import KVView, Note, Policy
from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.policies.options import check_flag


@dataclass(frozen=True)
class VaN(Policy):
    """Keeps the slots with the highest value norm, pooled on the frame's grid; no step is protected as recent.

    - `pooling`: "adaptive" or "off"; `thresholds`: both as in `infinipot-v`.
    - `reverse`: the lowest stay. Text is worth the best of its step then, too: the one whose value norm is lowest.

    Departures: those of `infinipot-v`.
    """

    name: ClassVar[str] = "van"
    by_head: ClassVar[bool] = True

    pooling: Literal["adaptive", "off"] = "adaptive"
    thresholds: tuple[float, float, float] = InfiniPotV.thresholds
    reverse: bool = False

    def __post_init__(self) -> None:
        check_flag("reverse", self.reverse)
        object.__setattr__(self, "thresholds", self._whole.thresholds)

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`; the newer ones among equals."""
        if view.scores is None:
            view = replace(view, note=view.note or self.calibrate(view))
            view = replace(view, scores=self.on_step(view))
        return self._whole.select(view, keep)

    def on_step(self, view: KVView) -> Tensor:
        """VaN, negated by `reverse`, float32 `[heads, slots]`: raw until the layer is calibrated, pooled afterwards."""
        van = self._whole.on_step(view)
        return torch.where(van.isneginf(), van, -van) if self.reverse else van

    def calibrate(self, view: KVView) -> Note:
        """The layer's pooling kernel, as `infinipot-v` chooses it."""
        return self._whole.calibrate(view)

    def rescore(self, view: KVView) -> Tensor:
        """VaN of all that is held, with the kernel of `view.note`; text -inf."""
        return self.on_step(view)

    @property
    def _whole(self) -> InfiniPotV:
        """The method without its TaR share; it also checks the options."""
        return InfiniPotV(alpha=0.0, pooling=self.pooling, thresholds=self.thresholds)
