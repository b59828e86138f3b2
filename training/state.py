"""Saving and resuming: tensors in files of at most 15 MB, so that they travel anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LIMIT = 15_000_000  # bytes of a file


def save_tensors(tensors: dict[str, Tensor], folder: Path, prefix: str) -> None:
    """Write tensors as prefix-0.pt, prefix-1.pt, ..."""
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        size += tensor.nbytes
        if size > LIMIT:
            parts.append({})
            size = tensor.nbytes
        parts[-1][name] = tensor.detach().cpu().clone()
    folder.mkdir(parents=True, exist_ok=True)
    for index, part in enumerate(parts):
        torch.save(part, folder / f"{prefix}-{index}.pt")


def load_tensors(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Read what save_tensors wrote; empty if there is nothing."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"{prefix}-*.pt")):
        tensors |= torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's running moments in bfloat16, by parameter number."""
    kept = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name in ("exp_avg", "exp_avg_sq"):
            kept[f"{index}.{name}"] = state[name].to(torch.bfloat16)
    return kept


def restore_moments(optimizer: torch.optim.Optimizer, kept: dict[str, Tensor], count: int) -> None:
    """Put moments back, as after `count` updates."""
    if not kept:
        return
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in kept.items():
        index, name = key.split(".")
        state.setdefault(int(index), {"step": torch.tensor(float(count))})[name] = tensor.float()
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def save_log(log: dict[str, Any], folder: Path) -> None:
    """Write the run's record beside its tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.json").write_text(json.dumps(log) + "\n")


def load_log(folder: Path) -> dict[str, Any]:
    """Read the record; a fresh one if there is none."""
    path = folder / "log.json"
    fresh: dict[str, Any] = {"stage": 0, "updates": 0, "seconds": 0.0, "sessions": [], "curve": []}
    return json.loads(path.read_text()) if path.exists() else fresh
