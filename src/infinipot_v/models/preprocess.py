"""From frames to what a vision tower eats: resize, normalise, cut into patches. torch only, no torchvision.

Every number comes from the checkpoint's own JSON (`PixelRecipe`). For the same target size the results equal Hugging
Face's torchvision processors (uint8 bicubic with antialiasing, then one fused scale-and-normalise in float32).
Knows no model, no session and no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from infinipot_v.types import UserError

MODES = {1: "bicubic", 2: "bilinear", 3: "bicubic"}
"""PIL's numbers in `resample`. Lanczos (1) becomes bicubic, as in transformers with torchvision below 0.27."""
MAX_ASPECT = 200
"""Longer frames are refused, as in Qwen's own resizing."""


@dataclass(frozen=True)
class PixelRecipe:
    """How a checkpoint wants its pixels; the defaults are Qwen2-VL's. The range of pixels is for one frame."""

    image_mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    rescale_factor: float = 1 / 255
    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 1280
    resample: int = 3

    def __post_init__(self) -> None:
        counts = (self.patch_size, self.merge_size, self.temporal_patch_size, self.min_pixels, self.max_pixels)
        numbers = (*self.image_mean, *self.image_std, self.rescale_factor)
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise UserError(f"the checkpoint's preprocessor_config.json has impossible sizes: {counts}")
        if not all(isinstance(number, int | float) for number in numbers) or 0 in (
            *self.image_std,
            self.rescale_factor,
        ):
            raise UserError(f"the checkpoint's preprocessor_config.json has impossible mean, std or scale: {numbers}")
        if not len(self.image_mean) == len(self.image_std) == 3:
            raise UserError(
                "the checkpoint's preprocessor_config.json needs a mean and a std for each of three colours"
            )

    @property
    def factor(self) -> int:
        """Side of the square of pixels behind one token of the language model."""
        return self.patch_size * self.merge_size

    @classmethod
    def from_configs(cls, image: Mapping[str, Any] | None, video: Mapping[str, Any] | None = None) -> PixelRecipe:
        """From preprocessor_config.json and video_preprocessor_config.json, whose keys win; either may be missing.

        Also takes a processor_config.json, which nests them as `image_processor` and `video_processor`.
        Raises `UserError` for a resampling that cannot be reproduced.
        """
        image = image or {}
        video = {**image.get("video_processor", {}), **(video or {})}
        image = image.get("image_processor", image)
        merged = {**image, **video, **_pixel_range(image), **_pixel_range(video)}
        known = {key: merged[key] for key in cls.__dataclass_fields__ if merged.get(key) is not None}
        known |= {key: tuple(known[key]) for key in ("image_mean", "image_std") if key in known}
        if known.get("resample", 3) not in MODES:
            raise UserError(f"cannot reproduce resample={known['resample']} of this checkpoint; set it to 3 (bicubic)")
        return cls(**known)


def _pixel_range(config: Mapping[str, Any]) -> dict[str, int]:
    """`min_pixels`, `max_pixels` under any of their names; the explicit ones win over those in `size`."""
    size = config.get("size") or {}
    places = {"min_pixels": ("min_pixels", "shortest_edge"), "max_pixels": ("max_pixels", "longest_edge")}
    found = {key: next((size[name] for name in names if size.get(name)), None) for key, names in places.items()}
    found |= {key: config[key] for key in places if config.get(key)}
    return {key: value for key, value in found.items() if value}


def fit_grid(
    height: int, width: int, recipe: PixelRecipe, tokens_per_step: int = 128, max_pixels: int | None = None
) -> tuple[int, int]:
    """The size in pixels `(height, width)` that frames of `height` x `width` are resized to.

    Qwen's rule: sides are multiples of `recipe.factor`, the aspect is kept as nearly as that allows, the area lies
    within the checkpoint's range. Departures: the area is also capped by `tokens_per_step` and `max_pixels`, and the
    cap is always kept (Qwen's rule passes it for elongated frames, and where it rounds a small frame up).
    Raises `UserError` for an aspect above 200 or a cap below one token.
    """
    unit = recipe.factor
    most = _pixel_limit(recipe, tokens_per_step, max_pixels)
    least = min(recipe.min_pixels, most)
    if min(height, width) < 1 or max(height, width) > MAX_ASPECT * min(height, width):
        raise UserError(f"a frame of {width}x{height} is too elongated (over {MAX_ASPECT}:1); crop it first")
    rows, columns = round(height / unit), round(width / unit)
    if rows * columns * unit**2 > most:
        scale = math.sqrt(height * width / most)
        rows, columns = (math.floor(side / scale / unit) for side in (height, width))
    elif rows * columns * unit**2 < least:
        scale = math.sqrt(least / (height * width))
        rows, columns = (math.ceil(side * scale / unit) for side in (height, width))
    rows, columns = _within(max(1, rows), max(1, columns), most // unit**2)
    return rows * unit, columns * unit


def _pixel_limit(recipe: PixelRecipe, tokens_per_step: int, max_pixels: int | None) -> int:
    """The largest area of a frame: the smallest of the three caps, and at least one token's."""
    unit = recipe.factor**2
    if tokens_per_step < 1:
        raise UserError(f"tokens_per_step is {tokens_per_step}; a step needs at least 1 token (128 is the default)")
    if max_pixels is not None and max_pixels < unit:
        raise UserError(f"max_pixels is {max_pixels}; one token of this model covers {unit} pixels, give at least that")
    caps = [recipe.max_pixels, tokens_per_step * unit, *([] if max_pixels is None else [max_pixels])]
    return max(unit, min(caps))


def _within(rows: int, columns: int, limit: int) -> tuple[int, int]:
    """Cut the longer side until `rows * columns <= limit`."""
    if rows * columns <= limit:
        return rows, columns
    short = min(rows, columns, math.isqrt(limit))
    long = min(max(rows, columns), limit // short)
    return (short, long) if rows <= columns else (long, short)


def resize(frames: np.ndarray | torch.Tensor, size: tuple[int, int], resample: int = 3) -> torch.Tensor:
    """uint8 `[n, height, width, 3]` to uint8 `[n, 3, *size]`, stretched to `size`, antialiased."""
    pixels = _channels_first(frames)
    if pixels.shape[-2:] == torch.Size(size):
        return pixels
    return functional.interpolate(pixels, size=size, mode=MODES[resample], antialias=True)


def _channels_first(frames: np.ndarray | torch.Tensor) -> torch.Tensor:
    if isinstance(frames, np.ndarray):
        frames = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
    return frames.permute(0, 3, 1, 2)


def letterbox(frames: np.ndarray | torch.Tensor, size: tuple[int, int], resample: int = 3) -> torch.Tensor:
    """uint8 `[n, height, width, 3]` to uint8 `[n, 3, *size]` with the aspect kept: centred, black around."""
    height, width = frames.shape[1:3]
    scale = min(size[0] / height, size[1] / width)
    inner = tuple(min(full, max(1, round(side * scale))) for side, full in zip((height, width), size, strict=True))
    top, left = ((full - side) // 2 for side, full in zip(inner, size, strict=True))
    canvas = torch.zeros(frames.shape[0], 3, *size, dtype=torch.uint8)
    canvas[:, :, top : top + inner[0], left : left + inner[1]] = resize(frames, (inner[0], inner[1]), resample)
    return canvas


def normalise(pixels: torch.Tensor, recipe: PixelRecipe) -> torch.Tensor:
    """uint8 `[n, 3, height, width]` to float32, `(pixels * rescale - mean) / std`, fused as transformers fuses it."""
    mean, std = (
        (torch.tensor(values, dtype=torch.float32) * (1.0 / recipe.rescale_factor))[:, None, None].to(pixels.device)
        for values in (recipe.image_mean, recipe.image_std)
    )
    return pixels.to(torch.float32).sub(mean).div_(std)


def patchify_qwen(pixels: torch.Tensor, recipe: PixelRecipe) -> torch.Tensor:
    """`[frames, 3, height, width]` to `[patches, 3 * temporal * patch * patch]` in Qwen2-VL's order.

    Patches run over time, then block rows, block columns, and inside a block of merge x merge, so that the patches of
    one token of the language model follow each other. `frames` is a multiple of `recipe.temporal_patch_size`.
    """
    frames, channels, height, width = pixels.shape
    patch, merge, temporal = recipe.patch_size, recipe.merge_size, recipe.temporal_patch_size
    assert frames % temporal == 0, f"{frames} frames do not fill steps of {temporal}"
    rows, columns = height // recipe.factor, width // recipe.factor
    blocks = pixels.reshape(frames // temporal, temporal, channels, rows, merge, patch, columns, merge, patch)
    ordered = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)  # step, block row and column, row, column, colour, frame, y, x
    return ordered.reshape(-1, channels * temporal * patch * patch)
