"""Writes a measurement to results/: what was measured, with which versions, by which command. No paths, no hosts."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch
import transformers

import infinipot_v

RESULTS = Path(__file__).parents[2] / "results"
COMMAND = "python -m pytest -m soak tests/soak"


def write_record(name: str, **content: Any) -> None:
    """Write `results/<name>`: `content` behind the command and the versions that it came from."""
    versions = {
        "infinipot_v": infinipot_v.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"command": COMMAND, "versions": versions, **content}, indent=2)
    (RESULTS / name).write_text(text + "\n", encoding="utf-8")
