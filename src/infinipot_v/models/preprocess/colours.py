"""What every recipe of pixels has: how a picture is resampled, and how its colours become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from infinipot_v.models.preprocess.pixels import MODES
from infinipot_v.types import UserError


@dataclass(frozen=True)
class Colours:
    """Mean and std for each of three colours, the scale of a byte, and PIL's number of the resampling."""

    image_mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    rescale_factor: float = 1 / 255
    resample: int = 3

    def __post_init__(self) -> None:
        numbers = (*self.image_mean, *self.image_std, self.rescale_factor)
        if not all(isinstance(number, int | float) for number in numbers) or 0 in (
            *self.image_std,
            self.rescale_factor,
        ):
            raise UserError(f"the checkpoint's preprocessor_config.json has impossible mean, std or scale: {numbers}")
        if not len(self.image_mean) == len(self.image_std) == 3:
            raise UserError(
                "the checkpoint's preprocessor_config.json needs a mean and a std for each of three colours"
            )

    @classmethod
    def of_known(cls, config: Mapping[str, Any], **more: Any) -> Self:
        """From the keys of `config` that are fields, those of `more` winning; null counts as missing.

        Raises `UserError` for a resampling that cannot be reproduced.
        """
        known = {key: config[key] for key in cls.__dataclass_fields__ if config.get(key) is not None} | more
        known |= {key: tuple(known[key]) for key in ("image_mean", "image_std") if key in known}
        if known.get("resample", 3) not in MODES:
            raise UserError(f"cannot reproduce resample={known['resample']} of this checkpoint; set it to 3 (bicubic)")
        return cls(**known)


def normalise(pixels: torch.Tensor, recipe: Colours) -> torch.Tensor:
    """uint8 `[n, 3, height, width]` to float32, `(pixels * rescale - mean) / std`, fused as transformers fuses it."""
    mean, std = (
        (torch.tensor(values, dtype=torch.float32) * (1.0 / recipe.rescale_factor))[:, None, None].to(pixels.device)
        for values in (recipe.image_mean, recipe.image_std)
    )
    return pixels.to(torch.float32).sub(mean).div_(std)
