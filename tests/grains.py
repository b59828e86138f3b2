"""Grains for tests: what a GPU is given, on a CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infinipot_v import grain


def set_grain(patch: pytest.MonkeyPatch, **changes: int | bool) -> None:
    """Change what suits this machine: `chunk`, `bank`, `by_head`."""
    patch.setattr(grain, "CORE", replace(grain.CORE, **changes))


def as_launches(patch: pytest.MonkeyPatch) -> None:
    """Work as where every operation is a launch."""
    patch.setattr(grain, "CORE", grain.LAUNCHES)
