"""Backgrounds: a bank of tiling grey textures, and the fixed marks of the camera's plate."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TEXTURES = 32
TILE = 128  # pixels; a texture repeats after this many
PICTURE = 112  # pixels
CELL = 28  # pixels of one token cell
_BANK_SEED = 20_260_101
_GREYS = (16.0, 96.0, 168.0, 248.0)


@lru_cache(maxsize=1)
def bank() -> Floats:
    """The textures, float32 [32, 128, 128] in 0..1."""
    random = np.random.RandomState(_BANK_SEED)
    return np.stack([_texture(random) for _ in range(TEXTURES)])


def _texture(random: np.random.RandomState) -> Floats:
    grains = (4, 8, 16, 32)
    weights = random.dirichlet(np.ones(len(grains)))
    picture = sum(w * _octave(random, g) for w, g in zip(weights, grains, strict=True))
    low, high = float(np.min(picture)), float(np.max(picture))
    return np.asarray((picture - low) / (high - low), dtype=np.float32)


def _octave(random: np.random.RandomState, grain: int) -> NDArray[np.float64]:
    """Random values on a grain x grain torus, linearly interpolated to the tile."""
    values = random.random_sample((grain, grain))
    return _stretched(_stretched(values, 0), 1)


def _stretched(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    count = values.shape[axis]
    place = np.arange(TILE) * count / TILE
    low = place.astype(int)
    share = (place - low).reshape((-1, 1) if axis == 0 else (1, -1))
    near = np.take(values, low, axis)
    far = np.take(values, (low + 1) % count, axis)
    return np.asarray(near * (1 - share) + far * share)


@lru_cache(maxsize=1)
def plate() -> tuple[Floats, Floats]:
    """The camera's plate: alpha and grey value, each float32 [112, 112].

    Like the glass plate of a survey camera it prints small fixed marks over every picture, one in
    each 28-pixel cell: an upright bar whose grey names the column and a lying bar whose grey names
    the row. They are the picture's only absolute cue for place.
    """
    alpha = np.zeros((PICTURE, PICTURE), dtype=np.float32)
    grey = np.zeros_like(alpha)
    for row, lying in enumerate(_GREYS):
        for column, upright in enumerate(_GREYS):
            y, x = row * CELL + 1, column * CELL + 1
            alpha[y : y + 8, x : x + 3] = alpha[y : y + 3, x + 4 : x + 11] = 1
            grey[y : y + 8, x : x + 3] = upright
            grey[y : y + 3, x + 4 : x + 11] = lying
    return alpha, grey
