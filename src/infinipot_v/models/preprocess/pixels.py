"""Pictures as bytes: resized, letterboxed, cropped."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch.nn import functional

MODES = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""PIL's numbers in `resample`."""


@cache
def lanczos_mode() -> str:
    """`lanczos` where the installed torch has it (2.12 and newer), else `bicubic`, as transformers falls back."""
    try:
        functional.interpolate(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), size=(4, 4), mode="lanczos", antialias=True)
    except (NotImplementedError, ValueError):
        return "bicubic"
    return "lanczos"


def resize(frames: np.ndarray | torch.Tensor, size: tuple[int, int], resample: int = 3) -> torch.Tensor:
    """uint8 `[n, height, width, 3]` to uint8 `[n, 3, *size]`, stretched to `size`, antialiased."""
    return stretch(channels_first(frames), size, resample)


def stretch(pixels: torch.Tensor, size: tuple[int, int], resample: int = 3) -> torch.Tensor:
    """uint8 `[n, 3, height, width]` to uint8 `[n, 3, *size]`; `resample` 1 is Lanczos, 2 bilinear, 3 bicubic."""
    if pixels.shape[-2:] == torch.Size(size):
        return pixels
    mode = lanczos_mode() if MODES[resample] == "lanczos" else MODES[resample]
    return functional.interpolate(pixels, size=size, mode=mode, antialias=True)


def channels_first(frames: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 `[n, height, width, 3]` to a view `[n, 3, height, width]`."""
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


def crop_centre(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The middle of `[n, 3, height, width]`, `size` large; an odd row or column more stays below, on the right."""
    top, left = ((full - side) // 2 for full, side in zip(pixels.shape[-2:], size, strict=True))
    return pixels[..., top : top + size[0], left : left + size[1]]
