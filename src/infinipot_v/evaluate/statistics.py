"""Accuracies with intervals: Wilson's for one number, a paired bootstrap over streams for a difference."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infinipot_v.evaluate.records import Record

Z95 = 1.959964
RESAMPLES = 10_000


def wilson(correct: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927): honest also at 0 and at n of n; (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    share, spread = correct / n, Z95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z95 * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Difference:
    """Accuracy of `a` minus accuracy of `b` on the same `n` questions, with its 95 % interval."""

    a: str
    b: str
    n: int
    items: int
    difference: float
    low: float
    high: float


def paired_difference(a: Sequence[Record], b: Sequence[Record], names: tuple[str, str], seed: int = 0) -> Difference:
    """Bootstrap the paired difference over streams, because questions about one stream are not independent.

    Only questions that both were asked count. With fewer than two streams nothing is known: the interval is (-1, 1).
    """
    gaps = _gaps(a, b)
    n = sum(len(values) for values in gaps.values())
    if n == 0:
        return Difference(*names, 0, 0, 0.0, -1.0, 1.0)
    sums = np.array([sum(values) for values in gaps.values()], dtype=float)
    counts = np.array([len(values) for values in gaps.values()], dtype=float)
    if len(sums) < 2:
        return Difference(*names, n, len(sums), float(sums.sum() / n), -1.0, 1.0)
    draws = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    resampled = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Difference(*names, n, len(sums), float(sums.sum() / n), float(low), float(high))


def _gaps(a: Sequence[Record], b: Sequence[Record]) -> dict[str, list[int]]:
    """correct(a) - correct(b) of each shared question, by stream."""
    others = {(record.item, record.index): record.correct for record in b}
    gaps: dict[str, list[int]] = defaultdict(list)
    for record in a:
        if (key := (record.item, record.index)) in others:
            gaps[record.item].append(int(record.correct) - int(others[key]))
    return gaps
