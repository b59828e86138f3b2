"""All methods at all budgets, each with its defaults."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from infinipot_v.evaluate.experiments.base import ALONE, OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.tables import grid

METHODS = (
    OURS,
    "infinipot-v-code",
    "snapkv",
    "infinipot",
    "streammem",
    "hermes",
    "keydiff",
    "key-norm",
    "random",
    "uniform",
    "sliding-window",
)
"""Everybody who keeps a memory under the cap. `sliding-window` with its four sinks is StreamingLLM."""
CONTROLS = ALONE


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """Methods x budgets, and the controls once."""
    streams = scale.test_streams
    shared = [Arm(name, name, streams, share, column(share)) for share in scale.budgets for name in METHODS]
    return shared + [Arm(name, name, streams) for name in CONTROLS]


def column(share: Fraction) -> str:
    """A share as a column's head."""
    return f"at {share}"


EXPERIMENT = Experiment(
    name="methods",
    title="All methods, all budgets",
    reading="Every method with its defaults; what tuning brings is in the table of trials. `last-frames` (the "
    "last four frames, no memory) and `blind` (no video) are what can be had for nothing, `full` is the "
    "most that can be had. Rivals are re-implemented from their papers and not checked against their "
    "authors.",
    arms=arms,
    tables=grid("method"),
)
