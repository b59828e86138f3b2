"""Sessions of a few small steps, for every family."""

from __future__ import annotations

from typing import Any

from infinipot_v.models.base import Model
from infinipot_v.retrieval import ReKV
from tests.families import FIXED


def step_tokens(model: Model) -> int:
    """Tokens that a step of `small_rekv` takes at most."""
    return model.step_tokens(model.canvas(90, 140, resolution(model)))


def resolution(model: Model) -> int | None:
    """Tokens a step where the family's resolution is free."""
    return None if model.family in FIXED else 8


def small_rekv(model: Model, window: float, blocks: int = 3, **options: Any) -> ReKV:
    """A session whose window holds so many of the longest steps."""
    return ReKV(model, int(window * step_tokens(model)), blocks, tokens_per_step=resolution(model), **options)
