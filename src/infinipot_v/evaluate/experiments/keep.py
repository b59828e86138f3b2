"""How much a compaction leaves: |C|/|M|. Less is faster (fewer compactions) and forgets more at once."""

from __future__ import annotations

from collections.abc import Sequence

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.tables import listing

DEFAULT = "0.75 (default)"
VALUES = ("0.25", "0.5", DEFAULT, "1")


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """One a value."""
    return [Arm(value, policy_of(value), scale.test_streams) for value in VALUES]


def policy_of(value: str) -> str:
    """The contender of a value."""
    return OURS if value == DEFAULT else f"{OURS}+keep={float(value)}"


EXPERIMENT = Experiment(
    name="keep",
    title="|C|/|M|: what a compaction leaves",
    reading="The paper has .75, .5 and .25, in falling order. 1 means that every step compacts, and frees just "
    "its own place: with eight steps of memory that leaves seven eighths, so all shares above .875 are "
    "this row.",
    arms=arms,
    tables=listing("keep", DEFAULT, "default"),
    baseline=DEFAULT,
)
