"""LLaVA-OneVision (arXiv 2408.03326): SigLIP features pooled to a quarter, one newline behind the whole video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from infinipot_v.models.fixed import FixedModel
from infinipot_v.models.prompt import Prompt


class LlavaOnevision(FixedModel):
    """Adapter of `LlavaOnevisionForConditionalGeneration`: 27 x 27 patches become 14 x 14 tokens a frame.

    transformers appends `image_newline`, an embedding that is no token's, to a video: newer releases whenever they
    encode one, older ones in the forward. It belongs behind the last frame, so no block has it, and it closes the video
    in the question instead: there, as in transformers' own prompts, one more `<video>` token stands for it.
    """

    family: ClassVar[str] = "llava_onevision"

    @classmethod
    def prompt_of(cls, tokenizer: Any, templates: Sequence[str], config: Any) -> Prompt:
        """The video closes with one more placeholder, the newline's."""
        prompt = super().prompt_of(tokenizer, templates, config)
        return replace(prompt, closing=prompt.placeholder)

    def pooled(self, patches: int) -> int:
        """Half of them, rounded up."""
        return math.ceil(patches / 2)

    def features(self, pixels: Tensor) -> Tensor:
        """The frames' tokens, without the newline that may lie behind them; see `FixedModel.features`."""
        pooled: Tensor = self.hf.model.get_video_features(pixels[None], return_dict=True).pooler_output
        tokens = len(pixels) * self.grid_of(self.recipe.pixels).tokens
        frames: Tensor = pooled[0, :tokens].unflatten(0, (len(pixels), -1))
        return frames

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Token embeddings `[1, tokens, hidden]`; the placeholder's is the newline."""
        newline, embeddings = self.hf.model.image_newline, super().embed(ids)
        placeholder = self.prompt.tokenizer.convert_tokens_to_ids(self.prompt.placeholder)
        stands = torch.tensor([[token == placeholder for token in ids]], device=self.device)
        return torch.where(stands[..., None], newline.to(embeddings), embeddings)
