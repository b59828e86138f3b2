"""A video made in memory: a disc and a bar move over a texture that differs in every cell and drifts with time."""

from __future__ import annotations

import numpy as np

from infinipot_v.types import Frame


def scene_frames(count: int, height: int, width: int, fps: float = 1.0, first: int = 0) -> tuple[Frame, ...]:
    """Frames `first` to `first + count` of the scene, uint8 `[height, width, 3]`; the same for the same arguments."""
    texture = _texture(height, width)
    return tuple(Frame(_picture(texture, index), index / fps) for index in range(first, first + count))


def _texture(height: int, width: int) -> np.ndarray:
    """Coarse noise under fine noise: no two cells are alike, whatever a cell's size."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3)).repeat(16, 0).repeat(16, 1)
    fine = rng.integers(-40, 41, (height, width, 3))
    clipped: np.ndarray = np.clip(coarse[:height, :width] + fine, 0, 255)
    return clipped


def _picture(texture: np.ndarray, index: int) -> np.ndarray:
    height, width = texture.shape[:2]
    picture = np.roll(texture, index * max(1, width // 23), axis=1)
    rows, columns = np.mgrid[:height, :width]
    radius = max(2, min(height, width) // 6)
    disc = ((index * 0.37) % 1.0 * height, (index * 0.23) % 1.0 * width)
    picture[(rows - disc[0]) ** 2 + (columns - disc[1]) ** 2 < radius**2] = (250, 40 + 20 * (index % 9), 30)
    top = (index * height) // 11 % height
    picture[top : top + max(1, height // 12)] = (20, 90, 200)
    return picture.astype(np.uint8)
