"""How rich a stream is. Each level widens the one before it by one thing."""

from __future__ import annotations

from dataclasses import dataclass

from infinipot_v.pocket.lexicon import SIZES


@dataclass(frozen=True)
class Level:
    """The knobs of a stream.

    aligned: things fill exactly one 28-pixel token cell. moving: things may drift or cross the
    picture. camera: cuts, pans, jitter and drifting light. distractors: grey shapes pass by.
    sizes: allowed widths of a thing, in pixels of the 112-pixel picture.
    """

    name: str
    aligned: bool = False
    moving: bool = False
    camera: bool = False
    distractors: bool = False
    sizes: tuple[int, ...] = SIZES


LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level("aligned", aligned=True, sizes=(28,)),
        Level("free"),
        Level("moving", moving=True),
        Level("full", moving=True, camera=True, distractors=True),
    )
}


def level_named(name: str) -> Level:
    """Look a level up. Raises ValueError with the known names."""
    if name not in LEVELS:
        raise ValueError(f"unknown level {name!r}; known levels: {', '.join(LEVELS)}")
    return LEVELS[name]
