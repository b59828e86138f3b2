"""One run into one log: what a result depends on, what is done, and what is left out."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from infinipot_v import __version__
from infinipot_v.evaluate.base import BrokenVideo, Item
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.field.shards import Shard
from infinipot_v.evaluate.records import RecordLog
from infinipot_v.evaluate.runner import Progress, run
from infinipot_v.models.base import Model


def run_logged(
    benchmark: FieldBenchmark,
    model: Model,
    contenders: Sequence[Contender],
    log: RecordLog,
    shard: Shard = Shard(),  # noqa: B008 - frozen
    progress: Progress = lambda done, total: None,
) -> None:
    """Fill the log with what it lacks of a part; what is left out goes in there, too."""
    items = [item for item in benchmark.items() if shard.takes(benchmark.place(item))]
    log.begin(len(items), benchmark.left)

    def left_out(item: Item, error: BrokenVideo) -> None:
        log.leave(benchmark.leave_item(item, error))

    run(benchmark, model, contenders, log, progress=progress, left_out=left_out, items=items)


def settings_of(benchmark: FieldBenchmark, model: Model) -> dict[str, Any]:
    """Benchmark, recipe, model and versions, JSON-able."""
    return {
        **benchmark.settings,
        "model": model.name,
        "family": model.family,
        "dtype": str(model.hf.dtype).removeprefix("torch."),
        "device": model.device.type,
        "positions": model.default_positions,
        "versions": {
            "infinipot-v": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
