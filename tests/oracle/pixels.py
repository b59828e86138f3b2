"""Slow loop versions of what models/preprocess.py does without loops."""

from __future__ import annotations

import math

import numpy as np
import torch


def patchify(pixels: torch.Tensor, patch: int, merge: int, temporal: int) -> torch.Tensor:
    """Qwen2-VL's flattening, one patch at a time: `[frames, channels, height, width]` to `[patches, dim]`."""
    frames, _, height, width = pixels.shape
    side, patches = patch * merge, []
    for first in range(0, frames, temporal):
        for top in range(0, height, side):
            for left in range(0, width, side):
                for row in range(merge):
                    for column in range(merge):
                        y, x = top + row * patch, left + column * patch
                        tube = pixels[first : first + temporal, :, y : y + patch, x : x + patch]
                        patches.append(tube.transpose(0, 1).flatten())  # colour before time
    return torch.stack(patches)


def fitting_grids(limit: int) -> list[tuple[int, int]]:
    """Every grid of at most `limit` tokens."""
    return [(rows, columns) for rows in range(1, limit + 1) for columns in range(1, limit // rows + 1)]


def qwen_size(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """Qwen's published resizing rule as it stands, without our caps."""
    rows, columns = round(height / factor), round(width / factor)
    if rows * columns * factor**2 > most:
        scale = math.sqrt(height * width / most)
        rows, columns = (max(1, math.floor(side / scale / factor)) for side in (height, width))
    elif rows * columns * factor**2 < least:
        scale = math.sqrt(least / (height * width))
        rows, columns = (math.ceil(side * scale / factor) for side in (height, width))
    return rows * factor, columns * factor


def pattern(frames: int, height: int, width: int) -> np.ndarray:
    """uint8 `[frames, height, width, 3]` by integer arithmetic alone: the same everywhere, smooth here, busy there."""
    n, y, x, c = np.meshgrid(*(np.arange(size) for size in (frames, height, width, 3)), indexing="ij")
    return ((x * 3 + y * 5 + c * 40 + n * 17 + (x * y) // 7 * (x > width // 2)) % 256).astype(np.uint8)
