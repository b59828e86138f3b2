"""How many recent steps are protected, and are what the past is compared with: r as a share of the memory."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.tables import listing

BUDGET = Fraction(1, 8)
"""At 16 steps of memory r can be 0 to 4. At 1/16 it could only be 0, 1 or 2: r never exceeds the steps that came since
the last compaction, a quarter of the memory."""
DEFAULT = "0.125 (default)"
VALUES = {"0": "0.0", "0.0625": "0.0625", DEFAULT: "", "0.1875": "0.1875", "0.25": "0.25"}


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """One a value."""
    return [Arm(label, policy_of(value), scale.test_streams, BUDGET) for label, value in VALUES.items()]


def policy_of(value: str) -> str:
    """The contender of a value."""
    return f"{OURS}+recent={value}" if value else OURS


EXPERIMENT = Experiment(
    name="recent",
    title="r: recent steps, as a share of the memory",
    reading="At 1/8 of the full cache, 16 steps of memory: from above, 0 to 4 steps are protected. With none TaR "
    "has no present to compare with, and VaN decides alone. The paper finds no loss up to a quarter of "
    "the memory. Larger shares are not different here: r is never more than the steps since the last "
    "compaction, a quarter as well.",
    arms=arms,
    tables=listing("r / f", DEFAULT, "default"),
    baseline=DEFAULT,
)
