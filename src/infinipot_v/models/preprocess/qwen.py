"""Qwen2-VL's pixels: any resolution within a range, cut into patches that merge two by two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from infinipot_v.models.preprocess.colours import Colours
from infinipot_v.types import UserError

MAX_ASPECT = 200
"""Longer frames are refused, as in Qwen's own resizing."""


@dataclass(frozen=True)
class PixelRecipe(Colours):
    """How a checkpoint wants its pixels; the defaults are Qwen2-VL's. The range of pixels is for one frame."""

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 1280

    def __post_init__(self) -> None:
        counts = (self.patch_size, self.merge_size, self.temporal_patch_size, self.min_pixels, self.max_pixels)
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise UserError(f"the checkpoint's preprocessor_config.json has impossible sizes: {counts}")
        super().__post_init__()

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
        return cls.of_known({**image, **video}, **{**_pixel_range(image), **_pixel_range(video)})


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
