"""What a result depends on, and so what a run must have in common with the records that it goes on from."""

from __future__ import annotations

import platform
from typing import Any

import torch
import transformers

from infinipot_v import __version__
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.models.base import Model


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
