"""LLaVA-NeXT-Video in transformers' layout: CLIP features pooled by its resampler, centre-cropped frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from infinipot_v.models.fixed import FixedModel


class LlavaNextVideo(FixedModel):
    """Adapter of `LlavaNextVideoForConditionalGeneration`: 24 x 24 patches become 12 x 12 tokens a frame."""

    family: ClassVar[str] = "llava_next_video"
    defaults: ClassVar[Mapping[str, Any]] = {"do_center_crop": True}

    @property
    def position_limit(self) -> int | None:
        """Linear scaling divides positions by its factor before they turn a key, so as many more are within range."""
        limit, rope = super().position_limit, getattr(self.text_config, "rope_parameters", None) or {}
        if limit is None or rope.get("rope_type") != "linear":
            return limit
        return int(limit * rope["factor"])

    def pooled(self, patches: int) -> int:
        """As the resampler's stride divides them."""
        return patches // int(self.hf.config.spatial_pool_stride)

    def features(self, pixels: Tensor) -> Tensor:
        """See `FixedModel.features`; transformers gives all frames in one tensor, or one tensor a frame."""
        pooled = self.hf.model.get_video_features(pixels[None], return_dict=True).pooler_output
        frames: Tensor = torch.cat([part.flatten(0, -2) for part in pooled]).unflatten(0, (len(pixels), -1))
        return frames
