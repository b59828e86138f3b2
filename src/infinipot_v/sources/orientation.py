"""Upright pictures: phones store portrait video lying down, or mirrored, and say by a matrix how to show it."""

from __future__ import annotations

import numpy as np


def upright(pixels: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turn and mirror `pixels` `[height, width, 3]` as a player would; contiguous.

    `matrix` is the 2 x 2 part of a display matrix, `[[a, b], [c, d]]`: a point x to the right and y down is shown at
    (a x + c y, b x + d y). Only signs and which is larger count, so an odd angle goes to the nearest quarter turn.
    """
    if matrix is None:
        return pixels
    (a, b), (c, d) = np.asarray(matrix, dtype=np.float64)
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
