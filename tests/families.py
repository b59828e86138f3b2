"""The families that tests walk: whatever is in the registry, so that a new adapter needs no new test code."""

from __future__ import annotations

from typing import Any

from infinipot_v import Budget, Policy, Session
from infinipot_v.models import adapter_for, family_names
from infinipot_v.models.base import Model
from infinipot_v.models.fixed import FixedModel

FAMILIES = family_names()
FIXED = tuple(name for name in FAMILIES if issubclass(adapter_for(name), FixedModel))
"""Those with one picture size, one frame a step and positions on one line."""

ODD = [(name, odd) for name in FAMILIES for odd in (0, 1) if name not in FIXED or not odd]
"""Families, watching whole steps (0), and one frame more that waits where two make a step (1)."""


def small_session(
    model: Model, steps: float, policy: str | Policy = "infinipot-v", keep: float = 0.75, **options: Any
) -> Session:
    """A session of few tokens a step, with a budget of so many steps of the frames of `tests.plain.noise_frames`."""
    resolution = None if model.family in FIXED else 8
    step = model.step_tokens(model.canvas(90, 140, resolution))
    return Session(model, Budget(tokens=int(steps * step), keep=keep), policy, tokens_per_step=resolution, **options)
