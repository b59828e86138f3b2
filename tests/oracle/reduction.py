"""Reductions in plain loops over numbers, from the papers' words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Vector = Sequence[float]
Steps = Sequence[Sequence[Vector]]
"""Steps of cells of numbers."""


def cosine(a: Vector, b: Vector) -> float:
    """The cosine of two vectors, to four decimals."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return round(dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b)), 4)


def dycoke(steps: Steps, pruned: float) -> list[list[int]]:
    """Cells that stay, step by step: groups of four; the second and third beside the first, the fourth the third."""
    kept = []
    for index, step in enumerate(steps):
        cells = list(range(len(step)))
        if index % 4:
            reference = steps[index - 1] if index % 4 == 3 else steps[index - index % 4]
            alike = [cosine(step[cell], reference[cell]) for cell in cells]
            count = max(1, math.floor((1 - pruned) * len(step)))
            cells = sorted(sorted(cells, key=lambda cell: (alike[cell], cell))[:count])
        kept.append(cells)
    return kept


def longvu(steps: Steps, window: int, threshold: float) -> list[list[int]]:
    """Cells that stay, step by step: those of a window's first step, and those that differ from its own."""
    kept = []
    for index, step in enumerate(steps):
        first = steps[index - index % window]
        kept.append(
            [c for c in range(len(step)) if index % window == 0 or cosine(step[c], first[c]) <= threshold]
        )  # fmt: skip
    return kept


def near_duplicates(frames: Sequence[np.ndarray], threshold: float) -> list[int]:
    """Frames that stay: those of which any of 32 x 32 mean colours differs from the last one that stayed."""
    kept: list[int] = []
    for index, frame in enumerate(frames):
        if not kept or 1 - _farthest(_means(frame), _means(frames[kept[-1]])) / 255 < threshold:
            kept.append(index)
    return kept


def _farthest(one: list[int], other: list[int]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _means(frame: np.ndarray) -> list[int]:
    """Mean colours of 32 x 32 parts, rounded; a part begins and ends at whole pixels, and neighbours may share some."""
    height, width, _ = frame.shape
    means = []
    for row in range(32):
        rows = slice(row * height // 32, -(-(row + 1) * height // 32))
        for column in range(32):
            columns = slice(column * width // 32, -(-(column + 1) * width // 32))
            means += [round(float(mean)) for mean in frame[rows, columns].astype(np.float64).mean((0, 1))]
    return means
