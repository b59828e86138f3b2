"""Frames that repeat the last one shown are dropped before the vision tower: cheap, and on pixels alone [ours]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from infinipot_v.policies.options import check_share
from infinipot_v.reduction.base import Reduction


@dataclass(frozen=True)
class NearDuplicates(Reduction):
    """Drops a frame of which no part has changed since the last frame that was kept.

    Both are reduced to 32 x 32 mean colours. They are alike as 1 - (largest difference of any mean) / 255, and a frame
    as like as `threshold` or more is dropped. The largest difference, because a mean over the picture does not see a
    small thing move. It is compared with the last *kept* frame, so a slow change adds up and is not missed. The first
    frame is kept.

    Frames that are kept bring their own times. Where two frames make a step, the kept ones pair up: so no step is ever
    half empty, and the memory is that of a stream of the kept frames alone.

    Not from a paper: frame differencing as old as video coding; LongVU (arXiv 2410.17434) drops frames too, but by the
    features of a second vision tower (DINOv2) and looking ahead within a window.
    """

    name: ClassVar[str] = "near-duplicates"
    of_frames: ClassVar[bool] = True

    threshold: float = 0.95

    def __post_init__(self) -> None:
        check_share("threshold", self.threshold)

    def repeats(self, sketch: Tensor, last: Tensor) -> bool:
        """See `Reduction.repeats`."""
        farthest = int((sketch.int() - last.int()).abs().max())
        return 1 - farthest / 255 >= self.threshold
