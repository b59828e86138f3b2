"""Pixels of the families that show every frame at one size: LLaVA-OneVision, LLaVA-NeXT-Video, InternVL, SmolVLM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infinipot_v.models.preprocess.colours import Colours
from infinipot_v.models.preprocess.pixels import channels_first, crop_centre, stretch
from infinipot_v.types import UserError

LARGEST = 4096
"""No frame is enlarged beyond this, whatever `longest` says, as in SmolVLM's own resizing."""


@dataclass(frozen=True)
class FixedRecipe(Colours):
    """Every frame becomes `height` x `width` pixels.

    It is stretched to them; with `shortest`, its shorter side is brought to that length and the middle cut out; with
    `longest`, its longer side is brought to that length first, and the result stretched.
    """

    height: int = 384
    width: int = 384
    shortest: int | None = None
    longest: int | None = None

    def __post_init__(self) -> None:
        sides = (self.height, self.width, self.shortest or 1, self.longest or 1)
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise UserError(f"the checkpoint's preprocessor_config.json has impossible sizes: {sides}")
        if self.shortest is not None and self.shortest < max(self.height, self.width):
            raise UserError(
                f"the checkpoint's preprocessor_config.json cuts {self.height}x{self.width} pixels out of frames whose "
                f"shorter side is {self.shortest}: set size to at least the crop_size"
            )
        super().__post_init__()

    @property
    def pixels(self) -> tuple[int, int]:
        """The size of a frame, (height, width)."""
        return self.height, self.width

    @classmethod
    def from_configs(
        cls, image: Mapping[str, Any] | None, video: Mapping[str, Any] | None = None, **defaults: Any
    ) -> FixedRecipe:
        """From one file, as transformers chooses it, and `defaults` for what is missing there.

        That is `video_processor` in processor_config.json, else video_preprocessor_config.json, else
        preprocessor_config.json (the first and the last come as `image`). Raises `UserError` where the size is missing,
        and for steps that are switched off or cannot be reproduced.
        """
        own = (image or {}).get("video_processor") or video or image or {}
        config = {**defaults, **{key: value for key, value in own.items() if value is not None}}
        off = [step for step in ("do_resize", "do_rescale", "do_normalize") if not config.get(step, True)]
        if off:
            raise UserError(f"cannot reproduce {off[0]}=false of this checkpoint's preprocessor_config.json")
        return cls.of_known({**config, "height": None, "width": None}, **_sizes(config))

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """The sizes that a frame of `height` x `width` is resized to, one after the other."""
        if self.shortest is not None:
            long = int(self.shortest * max(height, width) / min(height, width))
            return [(self.shortest, long) if height <= width else (long, self.shortest)]
        if self.longest is not None:
            return [_with_longest(min(LARGEST, self.longest), height, width), self.pixels]
        return [self.pixels]

    def show(self, frames: np.ndarray) -> torch.Tensor:
        """uint8 `[n, height, width, 3]` to uint8 `[n, 3, *self.pixels]`."""
        pixels = channels_first(frames)
        for size in self.sizes(*frames.shape[1:3]):
            pixels = stretch(pixels, size, self.resample)
        return crop_centre(pixels, self.pixels)


def _sizes(config: Mapping[str, Any]) -> dict[str, int | None]:
    """The fields of `FixedRecipe` behind `size`, `crop_size`, `max_image_size` and `video_sampling`."""
    size, square = config.get("size"), _edges(config.get("max_image_size")).get("longest_edge")
    size = _edges(config.get("video_sampling", {}).get("video_size") if size is None else size)
    crop = _edges(config.get("crop_size")) if config.get("do_center_crop") else {}
    if square and size.get("longest_edge"):
        return {"height": square, "width": square, "longest": size["longest_edge"]}
    if crop.get("height") and size.get("shortest_edge"):
        return {"height": crop["height"], "width": crop["width"], "shortest": size["shortest_edge"]}
    if size.get("height") and size.get("width") and not crop:
        return {"height": size["height"], "width": size["width"]}
    raise UserError("the checkpoint's preprocessor_config.json names no size of frames that can be reproduced")


def _edges(size: Any) -> Mapping[str, int]:
    """A size as its file has it: a mapping, or one number for both sides."""
    if isinstance(size, int):
        return {"height": size, "width": size}
    return size if isinstance(size, Mapping) else {}


def _with_longest(longest: int, height: int, width: int) -> tuple[int, int]:
    """The longer side at `longest`, the other by the aspect, rounded down and then up to an even number."""
    aspect = width / height
    if width >= height:
        return max(1, _even(int(longest / aspect))), longest
    return longest, max(1, _even(int(longest * aspect)))


def _even(side: int) -> int:
    return side + side % 2
