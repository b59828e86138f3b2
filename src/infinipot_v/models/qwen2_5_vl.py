"""Qwen2.5-VL: Qwen2-VL with windowed vision attention and absolute time (arXiv 2502.13923)."""

from __future__ import annotations

from typing import ClassVar

from infinipot_v.models.qwen2_vl import Qwen2VL


class Qwen25VL(Qwen2VL):
    """Adapter of `Qwen2_5_VLForConditionalGeneration`. The temporal index is the time: `tokens_per_second` a second."""

    family: ClassVar[str] = "qwen2_5_vl"

    @property
    def time_rate(self) -> float | None:
        """`vision_config.tokens_per_second` (2 in the released checkpoints)."""
        return float(self.hf.config.vision_config.tokens_per_second)
