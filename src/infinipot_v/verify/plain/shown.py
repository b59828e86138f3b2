"""One video and one question, as the slow arithmetic gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.types import UserError

LANCZOS, BICUBIC = 1, 3
FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""torch's names of PIL's numbers."""


@dataclass(frozen=True)
class Shown:
    """`pictures` uint8 `[frames, height, width, 3]` sampled `fps` a second.

    `size` is the session's resolution (height, width), for the families that leave it open. `files` are the
    checkpoint's, `config` its configuration as transformers reads it, `tokenizer` its tokenizer. Pictures are resized
    by torch's filters, as transformers' processors do, or by PIL's, as the models were trained (`by_pil`).
    """

    files: CheckpointFiles
    config: Any
    tokenizer: Any
    pictures: np.ndarray
    fps: float
    size: tuple[int, int]
    question: str
    by_pil: bool = False

    def numbers(self, **defaults: Any) -> dict[str, Any]:
        """The processor's numbers for videos, from the one file that transformers would take, over its `defaults`.

        That is `video_processor` in processor_config.json, else video_preprocessor_config.json, else
        preprocessor_config.json.
        """
        own = (
            self.files.json("processor_config.json").get("video_processor")
            or self.files.json("video_preprocessor_config.json")
            or self.files.json("preprocessor_config.json")
        )
        if not own:
            raise UserError(f"{self.files.name} has no preprocessor_config.json: download the checkpoint again")
        return {**defaults, **{key: value for key, value in own.items() if value is not None}}

    @property
    def template(self) -> str:
        """The chat template that the checkpoint's processor uses: its own file, or the tokenizer's."""
        own = self.files.text("chat_template.jinja") or self.files.json("chat_template.json").get("chat_template")
        return str(own or self.tokenizer.chat_template)

    def rendered(self, template: str | None = None) -> str:
        """The whole prompt as text, the video one placeholder."""
        content = [{"type": "video"}, {"type": "text", "text": self.question}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], chat_template=template or self.template, tokenize=False,
            add_generation_prompt=True,
        )  # fmt: skip
        return str(text)

    def token(self, name: str, otherwise: str) -> str:
        """A token that the tokenizer has a name for."""
        return str(getattr(self.tokenizer, name, None) or otherwise)

    def ids(self, text: str) -> torch.Tensor:
        """Token ids `[1, tokens]` of a whole text, as the processor has it tokenised, in one piece."""
        begins = str(self.tokenizer.bos_token or "")
        special = not (begins and text.startswith(begins))
        return torch.tensor([self.tokenizer(text, add_special_tokens=special)["input_ids"]])

    def resized(self, size: Sequence[int], resample: int = BICUBIC) -> np.ndarray:
        """The pictures at `size` (height, width), stretched, uint8."""
        chosen = BICUBIC if resample == LANCZOS and not _has_lanczos() else resample
        if self.by_pil:
            return np.stack([resized(picture, size, chosen) for picture in self.pictures])
        if self.pictures.shape[1:3] == tuple(size):
            return self.pictures
        pixels = torch.from_numpy(self.pictures).permute(0, 3, 1, 2)
        stretched = functional.interpolate(pixels, tuple(size), mode=FILTERS[chosen], antialias=True)
        return stretched.permute(0, 2, 3, 1).numpy()


def _has_lanczos() -> bool:
    """torch 2.12 brought it; before, transformers takes bicubic in its place."""
    return tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 12)


def normalised(pictures: np.ndarray, numbers: Mapping[str, Any]) -> np.ndarray:
    """uint8 `[frames, height, width, 3]` to float32 `[frames, 3, height, width]`: (x * scale - mean) / std."""
    scale = float(numbers.get("rescale_factor") or 1 / 255)
    mean, std = (np.asarray(numbers[name], dtype=np.float64) for name in ("image_mean", "image_std"))
    shown = (pictures.astype(np.float64) * scale - mean) / std
    return shown.transpose(0, 3, 1, 2).astype(np.float32)


def resized(picture: np.ndarray, size: Sequence[int], resample: int = BICUBIC) -> np.ndarray:
    """One picture at `size` (height, width) by PIL, which antialiases; unchanged where it has that size already."""
    if picture.shape[:2] == tuple(size):
        return picture
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), resample=Image.Resampling(resample)))
