"""SmolVLM2 (arXiv 2504.05299): pixel shuffle, the time before every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from infinipot_v.models.fixed import FixedModel
from infinipot_v.models.prompt import Prompt

VIDEO = "<video>"
OPENING = "You are provided the following series of frames from a video.\n"
CLOSING = "\n\n"
AROUND = "<fake_token_around_image>"
WHOLE = "<global-img>"


class SmolVLM(FixedModel):
    """Adapter of `SmolVLMForConditionalGeneration`: 64 or 81 tokens a frame, with `Frame from MM:SS:` before them.

    Departure: transformers opens a video with "... the following series of three frames from a 0:00:02 [H:MM:SS]
    video." A stream knows neither number, so both are left out. `dataclasses.replace(model.prompt, opening=...)` puts
    any other words there, transformers' own included.
    """

    family: ClassVar[str] = "smolvlm"
    defaults: ClassVar[Mapping[str, Any]] = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3, "resample": 1}

    @classmethod
    def prompt_of(cls, tokenizer: Any, templates: Sequence[str], config: Any) -> Prompt:
        """The checkpoints' own templates know no videos; transformers takes one of its own for them, and so do we."""
        from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

        around = getattr(tokenizer, "fake_image_token", None) or AROUND
        return Prompt(tokenizer, DEFAULT_CHAT_TEMPLATE, VIDEO, OPENING, CLOSING, around)

    def text_around(self, step: int, seconds: float) -> tuple[str, str]:
        """The time in whole minutes and seconds, and the tokens around a picture that is not split."""
        tokenizer, around = self.prompt.tokenizer, str(self.prompt.edge)
        whole = getattr(tokenizer, "global_image_token", None) or WHOLE
        return f"\nFrame from {int(seconds // 60):02d}:{int(seconds % 60):02d}:{around}{whole}", around

    @property
    def around_text(self) -> tuple[str, str]:
        """The next frame begins with a line break."""
        return "\n", ""

    def pooled(self, patches: int) -> int:
        """As the pixel shuffle leaves them."""
        return patches // int(self.hf.config.scale_factor)

    def features(self, pixels: Tensor) -> Tensor:
        """See `FixedModel.features`; transformers takes the frames as the pictures of one sample."""
        pooled = self.hf.model.get_image_features(pixels[None], return_dict=True).pooler_output
        return torch.cat(tuple(pooled)).reshape(len(pixels), -1, self.text_config.hidden_size)
