"""LongVU's spatial token compression, STC (arXiv 2410.17434, section 3.3): windows of eight frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.policies.options import check_window
from infinipot_v.reduction.base import Memo, Reduction, similarities
from infinipot_v.types import UserError


@dataclass(frozen=True)
class LongVU(Reduction):
    """Of every `window` steps the first stays whole; of the others a token goes that repeats the first one's.

        v_i(h, w) stays if cos(v_1(h, w), v_i(h, w)) <= threshold,    i = 2 .. window

    The paper's K = 8 and theta = 0.8. A step of which no cell stays is gone with its text: the language model never
    sees it. It has been watched all the same: steps are counted on, and with original positions its place stays empty.

    Re-implemented, not checked against its authors. Departures: the unit is a step of the language model (with Qwen's
    models two frames), for behind the vision tower there are no others; cosines count to four decimals; it is always
    on, where LongVU compresses only what exceeds its context; what LongVU does before it (frames dropped by DINOv2,
    frames pooled by the question) and behind it (cutting what is still too long) is not part of STC. The authors'
    scripts take other thresholds for some benchmarks (0.65 to 0.8).
    """

    name: ClassVar[str] = "longvu"
    of_tokens: ClassVar[bool] = True
    memo_steps: ClassVar[int] = 1

    window: int = 8
    threshold: float = 0.8

    def __post_init__(self) -> None:
        check_window("window", self.window)
        number = isinstance(self.threshold, int | float) and not isinstance(self.threshold, bool)
        if not number or not -1 <= self.threshold <= 1:
            raise UserError(f"threshold={self.threshold!r} is out of range: it is a cosine, from -1 to 1")

    def keep(self, step: Tensor, memo: Memo) -> tuple[Tensor, Memo]:
        """See `Reduction.keep`."""
        following = (memo.place + 1) % self.window
        if memo.place == 0:
            keep = torch.ones(len(step), dtype=torch.bool, device=step.device)
            return keep, Memo(following, (step.clone(),) if following else ())
        (first,) = memo.steps
        return similarities(step, first) <= self.threshold, Memo(following, memo.steps if following else ())
