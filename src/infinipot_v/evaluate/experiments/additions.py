"""What can stand beside a policy: fewer frames or tokens before the model, recent frames shown again, retrieval."""

from __future__ import annotations

from collections.abc import Sequence

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.tables import listing

ROWS = {
    OURS: OURS,
    "near-duplicate frames dropped": f"{OURS}+reduce=near-duplicates",
    "DyCoke TTC before it": f"{OURS}+reduce=dycoke",
    "LongVU STC before it": f"{OURS}+reduce=longvu",
    "recent ring of 4 frames": f"{OURS}+ring=4",
    "ReKV: all kept outside, fetched": "rekv",
}


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """All rows at the same |M|."""
    return [Arm(label, policy, scale.test_streams) for label, policy in ROWS.items()]


EXPERIMENT = Experiment(
    name="additions",
    title="Beside a policy: reduction, ring, retrieval",
    reading="All in the same |M|. Reduction lets fewer tokens in, so the memory reaches further back; what it "
    "drops nobody can keep. The ring counts in its cap. ReKV has no cap: |M| is "
    "what it has at hand, tokens held is everything it keeps.",
    arms=arms,
    tables=listing("row", OURS),
    baseline=OURS,
)
