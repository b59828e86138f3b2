"""Qwen2.5-VL: Qwen2-VL with windowed vision attention and absolute time (arXiv 2502.13923)."""

from __future__ import annotations

from typing import ClassVar

import torch

from infinipot_v.models.qwen2_vl import Qwen2VL


class Qwen25VL(Qwen2VL):
    """Adapter of `Qwen2_5_VLForConditionalGeneration`. The temporal index is the time: `tokens_per_second` a second."""

    family: ClassVar[str] = "qwen2_5_vl"

    @property
    def time_rate(self) -> float | None:
        """`vision_config.tokens_per_second` (2 in the released checkpoints)."""
        return float(self.hf.config.vision_config.tokens_per_second)

    def _whole_seconds(self) -> bool:
        """Ask transformers itself where the second of two steps lies that are a second and a half apart."""
        merge = self.recipe.merge_size
        tokens = torch.full((1, 2), self.hf.config.video_token_id)
        positions, _ = self.hf.model.get_rope_index(
            tokens, mm_token_type_ids=torch.full_like(tokens, 2), video_grid_thw=torch.tensor([[2, merge, merge]]),
            second_per_grid_ts=torch.tensor([1.5]),
        )  # fmt: skip
        return int(positions[0, 0, 1]) == int(self.hf.config.vision_config.tokens_per_second)
