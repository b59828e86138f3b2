"""Sampling and orientation said slowly: tick by tick, point by point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def sampled(times: Sequence[float], fps: float, start: float | None, tolerance: float) -> list[float]:
    """The first of `times` (ascending) at or after each tick `origin + k / fps`, each once."""
    origin = times[0] if start is None else start
    kept, tick = [], 0
    for time in times:
        if time < origin + tick / fps - tolerance:
            continue
        kept.append(time)
        while origin + tick / fps <= time + tolerance:
            tick += 1
    return kept


def shown(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Every point x, y goes to a x + c y, b x + d y; then all is moved so that it begins at 0, 0."""
    a, b, c, d = matrix
    height, width, _ = pixels.shape
    goes = {(x, y): (a * x + c * y, b * x + d * y) for x in range(width) for y in range(height)}
    left, top = (min(place[axis] for place in goes.values()) for axis in (0, 1))
    right, bottom = (max(place[axis] for place in goes.values()) for axis in (0, 1))
    out = np.zeros((bottom - top + 1, right - left + 1, 3), dtype=np.uint8)
    for (x, y), (to_x, to_y) in goes.items():
        out[to_y - top, to_x - left] = pixels[y, x]
    return out
