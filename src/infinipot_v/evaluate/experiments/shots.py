"""The same things before another camera: standing still, cutting, or panning. Only shots are exchanged.

In this world a thing keeps its own path in the picture; a camera moves the background behind it. So things, times and
questions stay what they were, and a difference between cameras is the camera's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from infinipot_v.pocket.levels import LEVELS
from infinipot_v.pocket.scene import Scene, Shot, build_scene

CAMERAS = ("static", "cutting", "panning")
OWN = "own"
"""The camera that the scene was drawn with."""
CUTS = 3
"""Cuts that a scene of its own must have to take part, so that `cutting` is no empty name."""
PAN = (0.7, 0.4)
"""Pixels a frame (down, right): the fastest pan of the world, through a cell of 28 pixels in 40 s."""


def with_camera(scene: Scene, camera: str) -> Scene:
    """The scene before `camera`, without jitter; `own` leaves it as it is. Questions about it stay true."""
    if camera == OWN:
        return scene
    if camera == "cutting":
        return replace(scene, shots=tuple(_moving(shot, (0.0, 0.0)) for shot in scene.shots))
    whole = replace(scene.shots[0], first=0, last=scene.frames)
    return replace(scene, shots=(_moving(whole, PAN if camera == "panning" else (0.0, 0.0)),))


def _moving(shot: Shot, pan: tuple[float, float]) -> Shot:
    return replace(shot, pan=pan, jitter=0)


def cutting_seeds(seeds: Iterable[int], steps: int, count: int, level: str = "full") -> Iterator[int]:
    """The first `count` of `seeds` whose own scenes have at least `CUTS` cuts."""
    scenes = ((seed, build_scene(seed, steps, LEVELS[level])) for seed in seeds)
    return islice((seed for seed, scene in scenes if len(scene.shots) > CUTS), count)
