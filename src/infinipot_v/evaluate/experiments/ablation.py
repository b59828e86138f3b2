"""What each part of the method is worth: the rows of the paper's ablation (there: MLVU at 6K)."""

from __future__ import annotations

from collections.abc import Sequence

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.tables import listing

WHOLE = "TaR + VaN + pooling (ours)"
ROWS = {
    "uniform": "uniform",
    "TaR, reversed": "tar+reverse=True",
    "TaR by whole frame": "tar+by=frame",
    "TaR": "tar",
    "VaN, reversed": "van+pooling=off+reverse=True",
    "VaN": "van+pooling=off",
    "VaN + pooling": "van",
    WHOLE: OURS,
    "full cache": "full",
}
"""Labels, in the paper's order, and contenders."""


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """All rows at the same |M|; the full cache at its own."""
    return [Arm(label, policy, scale.test_streams) for label, policy in ROWS.items()]


EXPERIMENT = Experiment(
    name="ablation",
    title="What each part is worth",
    reading="The paper's rows. If the method is right, the reversals are at the bottom, each part alone is below "
    "all together, and whole frames are below tokens. No pooling kernel fits this world's grid of 4 x 4 "
    "(a kernel takes at most seven tenths of a side), so VaN + pooling is VaN here, and the row says only "
    "that.",
    arms=arms,
    tables=listing("row", WHOLE, "ours"),
    baseline=WHOLE,
)
