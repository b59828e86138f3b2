"""The stages of training. Each widens the one before it by one thing and is left through a gate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """What to train on, and when it is enough.

    kinds: question kinds asked; empty trains the vision tower alone. steps: lengths, drawn per
    batch. rows: questions per stream. batch: streams of a batch times their steps. gate: accuracy
    every kind must reach (in the vision stages: what the helper head reads). longest: seconds on
    one H100 after which the stage is left all the same.
    """

    name: str
    level: str
    steps: tuple[int, ...]
    kinds: tuple[str, ...]
    gate: float
    longest: float
    rows: int = 4
    batch: int = 4096


FIRST = ("attribute", "what")
NAMED = (*FIRST, "place", "yesno", "choice")
MISSED = (*NAMED, "now", "never")
ORDERED = (*MISSED, "order")
ALL = (*ORDERED, "count")

STAGES: tuple[Stage, ...] = (
    Stage("see-aligned", "aligned", (4,), (), 0.97, 45, batch=1024),
    Stage("see-free", "free", (4,), (), 0.95, 90, batch=2048),
    Stage("bind", "free", (4,), FIRST, 0.90, 90, batch=2048),
    Stage("bind-more", "free", (8,), FIRST, 0.90, 60, rows=6),
    Stage("move", "moving", (12,), FIRST, 0.90, 45, rows=8),
    Stage("camera", "full", (16,), FIRST, 0.90, 45, rows=8),
    Stage("and-named", "full", (16,), NAMED, 0.85, 60, rows=10),
    Stage("and-missed", "full", (16,), MISSED, 0.85, 40, rows=10),
    Stage("and-order", "full", (8, 16), ORDERED, 0.80, 40, rows=10),
    Stage("and-count", "full", (8, 16, 24), ALL, 0.88, 100, rows=12),
    Stage("steps-32", "full", (16, 32), ALL, 0.90, 50, rows=16),
    Stage("steps-64", "full", (16, 32, 64), ALL, 0.93, 90, rows=20),
    Stage("steps-128", "full", (32, 64, 128, 128), ALL, 1.01, 1e9, rows=28),
)


def stage_index(name: str) -> int:
    """Position of a stage. Raises ValueError with the known names."""
    names = [stage.name for stage in STAGES]
    if name not in names:
        raise ValueError(f"unknown stage {name!r}; stages: {', '.join(names)}")
    return names.index(name)
