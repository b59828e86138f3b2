"""One run over many GPUs and machines, on Ray: each worker has a model of its own, and is given a video at a time.

Only the driver writes the log, so it is the serial run's but for the order of its lines. A worker that dies is replaced
and its video watched again, whole.
"""

from __future__ import annotations

from infinipot_v.evaluate.field.cluster.connecting import LOCAL
from infinipot_v.evaluate.field.cluster.running import run_on_ray

__all__ = ["LOCAL", "run_on_ray"]
