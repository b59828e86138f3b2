"""True cells against slot arithmetic after 5, 50 and 500 compactions: does the error of the second add up?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.cameras import SLOTS, TRUE
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.streams import Spec
from infinipot_v.evaluate.experiments.tables import pairs
from infinipot_v.pocket.seeds import TEST

MEMORY = 8
"""Steps of |M|; with |C| three quarters of it, every compaction frees `FREED` steps."""
FREED = 2
ROWS = {TRUE: f"{OURS}+positions=compact", SLOTS: "infinipot-v-code+recent=0.125+positions=compact"}


def steps_for(compactions: int) -> int:
    """The length of a stream that is compacted so often: the memory fills once, then every `FREED` steps."""
    return MEMORY + FREED * compactions


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """Rows x lengths."""
    return [
        Arm(label, policy, streams(compactions, count), Fraction(MEMORY, steps_for(compactions)), str(compactions))
        for compactions, count in scale.compactions
        for label, policy in ROWS.items()
    ]


def streams(compactions: int, count: int) -> tuple[Spec, ...]:
    """The first `count` test seeds, at the length that gives so many compactions."""
    return tuple(Spec(TEST.start + index, steps_for(compactions)) for index in range(count))


EXPERIMENT = Experiment(
    name="compactions",
    title="After 5, 50 and 500 compactions",
    reading="Everything but the stream's length is the same: a memory of 8 steps, of which a compaction leaves 6, "
    "so that streams of 18, 108 and 1,008 steps are compacted 5, 50 and 500 times. Positions are compact, "
    "because 1,008 steps are beyond what the model was trained for. A longer stream is also a harder one: "
    "read along a line, not down a column.",
    arms=arms,
    tables=pairs("compactions", TRUE, SLOTS),
    baseline=SLOTS,
)
