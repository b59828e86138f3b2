"""lmms-eval joins here: `lmms-eval eval --model infinipot_v --model_args pretrained=...,budget=6144 --tasks videomme`.

The entry point of the group `lmms_eval.models` is `manifest`; nothing of lmms-eval is imported before it calls that.
The folder `tasks` beside this file holds tasks that lmms-eval lacks, for its `--include_path`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TASKS = Path(__file__).parent / "tasks"
"""What `--include_path` takes: RVS, VStream-QA and StreamingBench."""


def manifest() -> Any:
    """Where lmms-eval finds the model, as its registry asks for it (`ModelManifest`)."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("infinipot_v", "infinipot_v.lmms.model.InfiniPotV", aliases=("infinipot-v",))
