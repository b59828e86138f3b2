"""A scene as arrays, one row a frame: the common language of the numpy and the batched renderer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infinipot_v.pocket.lexicon import SIZES
from infinipot_v.pocket.scene import MOST_AT_ONCE, MOST_DISTRACTORS, Scene, Thing
from infinipot_v.pocket.textures import TILE

SLOTS = MOST_DISTRACTORS + MOST_AT_ONCE


class Plan(NamedTuple):
    """What to paint. F frames, 5 slots painted in order (two distractors, then three things).

    texture int16 [F]; offset int16 [F, 2] (down, right) within the tile; dark, light float32
    [F, 3]; gain float32 [F]; shape int8 [F, 5], -1 for an empty slot; size int8 [F, 5], an index
    into SIZES; corner int16 [F, 5, 2] (top, left) in pixels; rgb float32 [F, 5, 3] in 0..255.
    """

    texture: NDArray[np.int16]
    offset: NDArray[np.int16]
    dark: NDArray[np.float32]
    light: NDArray[np.float32]
    gain: NDArray[np.float32]
    shape: NDArray[np.int8]
    size: NDArray[np.int8]
    corner: NDArray[np.int16]
    rgb: NDArray[np.float32]


def plan_of(scene: Scene) -> Plan:
    """Lay a scene out frame by frame."""
    plan = _empty(scene.frames)
    _paint_shots(plan, scene)
    _fill_slots(plan, scene.distractors, 0, MOST_DISTRACTORS)
    _fill_slots(plan, scene.things, MOST_DISTRACTORS, MOST_AT_ONCE)
    return plan


def _empty(frames: int) -> Plan:
    return Plan(
        texture=np.zeros(frames, np.int16),
        offset=np.zeros((frames, 2), np.int16),
        dark=np.zeros((frames, 3), np.float32),
        light=np.zeros((frames, 3), np.float32),
        gain=np.ones(frames, np.float32),
        shape=np.full((frames, SLOTS), -1, np.int8),
        size=np.zeros((frames, SLOTS), np.int8),
        corner=np.zeros((frames, SLOTS, 2), np.int16),
        rgb=np.zeros((frames, SLOTS, 3), np.float32),
    )


def _paint_shots(plan: Plan, scene: Scene) -> None:
    shaking = np.random.RandomState(scene.seed % 2**32).randint(-1, 2, (scene.frames, 2))
    for shot in scene.shots:
        span = slice(shot.first, shot.last)
        time = np.arange(shot.last - shot.first, dtype=np.float64)
        walk = np.array(shot.offset) + time[:, None] * np.array(shot.pan)
        plan.texture[span] = shot.texture
        plan.offset[span] = (np.floor(walk).astype(int) + shot.jitter * shaking[span]) % TILE
        plan.dark[span], plan.light[span] = shot.dark, shot.light
        plan.gain[span] = 1 + shot.swing * np.sin(2 * np.pi * time / shot.period + shot.phase)


def _fill_slots(plan: Plan, things: tuple[Thing, ...], start: int, count: int) -> None:
    """Give every thing the first slot that is free over its whole stay."""
    for thing in things:
        span = slice(thing.first, thing.last)
        free = [s for s in range(start, start + count) if (plan.shape[span, s] < 0).all()]
        slot = free[0]
        time = np.arange(thing.last - thing.first)
        plan.shape[span, slot] = thing.kind
        plan.size[span, slot] = SIZES.index(thing.size)
        plan.rgb[span, slot] = thing.rgb
        half = thing.size / 2
        plan.corner[span, slot, 0] = np.floor(thing.path.y + thing.path.vy * time - half + 0.5)
        plan.corner[span, slot, 1] = np.floor(thing.path.x + thing.path.vx * time - half + 0.5)
