"""How the kept tokens are shared between TaR and VaN: alpha from 0 (VaN alone) to 1 (TaR alone)."""

from __future__ import annotations

from collections.abc import Sequence

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.tables import listing

DEFAULT = "0.5 (default)"
VALUES = ("0", "0.25", DEFAULT, "0.75", "1")


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """One a value; the default is the same run as in every other experiment."""
    return [Arm(value, policy_of(value), scale.test_streams) for value in VALUES]


def policy_of(value: str) -> str:
    """The contender of a value."""
    return OURS if value == DEFAULT else f"{OURS}+alpha={float(value)}"


EXPERIMENT = Experiment(
    name="alpha",
    title="alpha: TaR's share of what is kept",
    reading="The paper finds the best at 0.4 to 0.6. What counts is where the peak lies and how flat it is.",
    arms=arms,
    tables=listing("alpha", DEFAULT),
    baseline=DEFAULT,
)
