"""The same things before a static, a cutting and a panning camera: true cells against slot arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.shots import CAMERAS
from infinipot_v.evaluate.experiments.tables import pairs

TRUE, SLOTS, FULL = "true cells", "slot arithmetic", "full cache"
ROWS = {FULL: "full", TRUE: OURS, SLOTS: "infinipot-v-code+recent=0.125"}
"""alpha, r and pooling (none on this grid) are the same for both, so that only the cells differ."""


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """Rows x cameras, all on the same seeds."""
    return [
        Arm(label, policy, scale.camera_streams(camera), condition=camera)
        for camera in CAMERAS
        for label, policy in ROWS.items()
    ]


EXPERIMENT = Experiment(
    name="cameras",
    title="Static, cutting and panning camera",
    reading="The same streams three times: their shots are exchanged, things, times and questions are not. "
    "Static: one shot. Cutting: the scene's own cuts, three or more. Panning: one shot whose background "
    "moves at the world's fastest pan. `true cells` is infinipot-v, `slot arithmetic` is infinipot-v-code "
    "with the same alpha and r. If comparing the wrong cells hurts, it hurts where the background differs "
    "from cell to cell and does not stand still.",
    arms=arms,
    tables=pairs("camera", TRUE, SLOTS, FULL),
    baseline=SLOTS,
)
