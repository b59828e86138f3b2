"""The shapes of the world as small alpha and shade maps, drawn from formulas.

Every shape is a condition on (u, v) in [-1, 1] x [-1, 1] (v points down), sampled four times finer
than the picture and averaged. No drawing library is involved, so every machine gets the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infinipot_v.pocket.lexicon import DISTRACTORS, KINDS, SIZES

Mask = NDArray[np.bool_]
Coordinates = NDArray[np.float64]
FINENESS = 4
CANVAS = 56  # every sprite lies in the top left corner of a square of this many pixels
RIM_SHADE = 0.25
DETAIL_SHADE = 0.15


class Atlas(NamedTuple):
    """alpha, shade: float32 [shapes, sizes, 56, 56]; shape order is KINDS then DISTRACTORS."""

    alpha: NDArray[np.float32]
    shade: NDArray[np.float32]


def disc(u: Coordinates, v: Coordinates, x: float, y: float, r: float) -> Mask:
    """Points within r of (x, y)."""
    return np.asarray((u - x) ** 2 + (v - y) ** 2 < r * r)


def slab(u: Coordinates, v: Coordinates, left: float, top: float, right: float, low: float) -> Mask:
    """Points of an upright rectangle."""
    return np.asarray((u > left) & (u < right) & (v > top) & (v < low))


def polygon(u: Coordinates, v: Coordinates, *corners: tuple[float, float]) -> Mask:
    """Points inside a polygon, by counting the edges crossed to the right."""
    inside = np.zeros(u.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y0 == y1:
            continue
        crosses = (v < y0) != (v < y1)
        inside ^= crosses & (u < x0 + (v - y0) * (x1 - x0) / (y1 - y0))
    return inside


def _ball(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    return disc(u, v, 0, 0, 0.96), disc(u, v, 0, 0, 0.3)


def _box(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    ribbon = (np.abs(u) < 0.13) | (np.abs(v) < 0.13)
    return slab(u, v, -0.92, -0.92, 0.92, 0.92), ribbon


def _star(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    turns = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
    corners = [(float(r * np.sin(a)), float(0.05 - r * np.cos(a))) for r, a in zip(radii, turns, strict=True)]
    return polygon(u, v, *corners), np.zeros(u.shape, dtype=bool)


def _heart(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    x, y = u * 1.2, -v * 1.2 + 0.15
    return np.asarray((x**2 + y**2 - 1) ** 3 < x**2 * y**3), np.zeros(u.shape, dtype=bool)


def _house(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    roof = polygon(u, v, (0, -0.98), (0.98, -0.1), (-0.98, -0.1))
    body = slab(u, v, -0.75, -0.12, 0.75, 0.95)
    return roof | body, slab(u, v, -0.2, 0.3, 0.25, 0.95)


def _tree(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    crown = polygon(u, v, (0, -0.98), (0.62, -0.15), (-0.62, -0.15))
    crown |= polygon(u, v, (0, -0.55), (0.9, 0.5), (-0.9, 0.5))
    trunk = slab(u, v, -0.2, 0.48, 0.2, 0.98)
    return crown | trunk, trunk


def _car(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    body = slab(u, v, -0.98, -0.05, 0.98, 0.5)
    cabin = polygon(u, v, (-0.45, -0.6), (0.4, -0.6), (0.7, 0), (-0.7, 0))
    wheels = disc(u, v, -0.52, 0.5, 0.28) | disc(u, v, 0.52, 0.5, 0.28)
    return body | cabin | wheels, wheels


def _fish(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    body = ((u + 0.2) / 0.76) ** 2 + (v / 0.52) ** 2 < 1
    tail = polygon(u, v, (0.35, 0), (0.98, -0.6), (0.98, 0.6))
    return np.asarray(body | tail), disc(u, v, -0.58, -0.1, 0.13)


def _cup(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    body = polygon(u, v, (-0.9, -0.8), (0.5, -0.8), (0.3, 0.9), (-0.7, 0.9))
    handle = disc(u, v, 0.48, -0.1, 0.48) & ~disc(u, v, 0.48, -0.1, 0.24)
    return body | handle, slab(u, v, -0.78, -0.7, 0.38, -0.5)


def _key(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    bow = disc(u, v, -0.5, 0, 0.47) & ~disc(u, v, -0.5, 0, 0.19)
    shaft = slab(u, v, -0.1, -0.13, 0.98, 0.13)
    teeth = slab(u, v, 0.4, 0, 0.58, 0.5) | slab(u, v, 0.75, 0, 0.98, 0.5)
    return bow | shaft | teeth, np.zeros(u.shape, dtype=bool)


def _moon(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    crescent = disc(u, v, 0.1, 0, 0.95) & ~disc(u, v, 0.55, -0.1, 0.75)
    return crescent, np.zeros(u.shape, dtype=bool)


def _boat(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    hull = polygon(u, v, (-0.98, 0.35), (0.98, 0.35), (0.6, 0.9), (-0.6, 0.9))
    sail = polygon(u, v, (0.08, -0.95), (0.8, 0.2), (0.08, 0.2))
    mast = slab(u, v, -0.08, -0.95, 0.06, 0.4)
    return hull | sail | mast, mast


def _bar(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    return slab(u, v, -0.98, -0.22, 0.98, 0.22), np.zeros(u.shape, dtype=bool)


def _ring(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    ring = disc(u, v, 0, 0, 0.96) & ~disc(u, v, 0, 0, 0.66)
    return ring, np.zeros(u.shape, dtype=bool)


def _plus(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    arms = slab(u, v, -0.95, -0.2, 0.95, 0.2) | slab(u, v, -0.2, -0.95, 0.2, 0.95)
    return arms, np.zeros(u.shape, dtype=bool)


def _wedge(u: Coordinates, v: Coordinates) -> tuple[Mask, Mask]:
    return polygon(u, v, (-0.9, -0.9), (0.9, 0), (-0.9, 0.9)), np.zeros(u.shape, dtype=bool)


SHAPES: dict[str, Callable[[Coordinates, Coordinates], tuple[Mask, Mask]]] = {
    "ball": _ball, "box": _box, "star": _star, "heart": _heart, "house": _house, "tree": _tree,
    "car": _car, "fish": _fish, "cup": _cup, "key": _key, "moon": _moon, "boat": _boat,
    "bar": _bar, "ring": _ring, "plus": _plus, "wedge": _wedge,
}  # fmt: skip


def eroded(mask: Mask, by: int) -> Mask:
    """The mask without its outermost `by` samples."""
    core = np.pad(mask, by)
    shifts = ((by, 0), (-by, 0), (0, by), (0, -by))
    kept = np.logical_and.reduce([np.roll(core, shift, (0, 1)) for shift in shifts])
    return np.asarray((kept & core)[by:-by, by:-by])


def draw(name: str, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Alpha and shade of one shape, both float32 [size, size]."""
    fine = size * FINENESS
    axis = (np.arange(fine) + 0.5) / fine * 2 - 1
    v, u = np.meshgrid(axis, axis, indexing="ij")
    mask, detail = SHAPES[name](u, v)
    shade = np.where(eroded(mask, max(2, fine // 24)), 1.0, RIM_SHADE)
    shade = np.where(detail & mask, DETAIL_SHADE, shade)
    weight = _coarse(mask.astype(np.float64))
    colour = _coarse(mask * shade) / np.maximum(weight, 1e-9)
    return weight.astype(np.float32), np.where(weight > 0, colour, 0).astype(np.float32)


def _coarse(fine: NDArray[Any]) -> NDArray[np.float64]:
    side = len(fine) // FINENESS
    return np.asarray(fine.reshape(side, FINENESS, side, FINENESS).mean(axis=(1, 3)))


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """All shapes at all sizes."""
    names = KINDS + DISTRACTORS
    alpha = np.zeros((len(names), len(SIZES), CANVAS, CANVAS), dtype=np.float32)
    shade = np.zeros_like(alpha)
    for i, name in enumerate(names):
        for j, size in enumerate(SIZES):
            alpha[i, j, :size, :size], shade[i, j, :size, :size] = draw(name, size)
    return Atlas(alpha, shade)
