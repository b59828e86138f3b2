"""Frames with something to leave out, and reductions that leave some of it out of any tiny random model."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from infinipot_v import Frame
from infinipot_v.models.base import Model
from infinipot_v.reduction.base import Reduction, similarities
from infinipot_v.reduction.dycoke import DyCoke
from infinipot_v.reduction.longvu import LongVU
from infinipot_v.reduction.near_duplicates import NearDuplicates

CASES = ("near-duplicates", "dycoke", "longvu")
"""The methods; with `still_frames`, `longvu` also loses whole steps."""

COUNTS = ("frames", "steps", "waiting_frames", "seconds", "reduced_frames", "reduced_tokens")


def still_frames(count: int, seed: int = 0, fps: float = 1.0) -> list[Frame]:
    """A picture that changes here and there, and often stays for several frames."""
    rng = np.random.default_rng(seed)
    picture, frames = rng.integers(0, 255, (90, 140, 3), dtype=np.uint8), []
    for index in range(count):
        if rng.random() < 0.25:
            top, left = rng.integers(0, 45), rng.integers(0, 70)
            picture = picture.copy()
            picture[top : top + 45, left : left + 70] = rng.integers(0, 255, (45, 70, 3), dtype=np.uint8)
        frames.append(Frame(picture, index / fps))
    return frames


def reduction_for(case: str, model: Model) -> Reduction:
    """The case's reduction, with a threshold that some cells of `still_frames` pass and some do not."""
    if case == "near-duplicates":
        return NearDuplicates()
    if case == "dycoke":
        return DyCoke()
    return LongVU(window=4, threshold=_middle(model))


def _middle(model: Model) -> float:
    """The median similarity of cells of one step with those of the next, where they differ."""
    canvas = model.canvas(90, 140, None if model.family not in ("qwen2_vl", "qwen2_5_vl") else 8)
    step = model.frames_per_step
    block = model.encode(still_frames(6 * step), canvas, 0)
    parts = [block.part(index, 1) for index in range(6)]
    cells = [part.embeddings[part.cells >= 0] for part in parts]
    alike = torch.cat([similarities(a, b) for a, b in itertools.pairwise(cells)])
    return float(alike[alike < 0.9999].median())


def reduced_labels(session: Any) -> list[torch.Tensor]:
    """Labels of all slots, `[2, heads, held]` a layer."""
    return [
        torch.stack([layer.store.steps, layer.store.cells.int()])[..., : layer.store.held].clone()
        for layer in session.cache.capped_layers
    ]


def everything(session: Any) -> tuple[Any, ...]:
    """What a session counts and remembers beside its cache."""
    own, report = session._reducing, session.report()
    counts = [getattr(report, name) for name in COUNTS]
    newest = None if own._newest is None else own._newest.tolist()
    ring = [step.embeddings for step, _ in session._at.ring.steps]
    remembered = [step.tolist() for step in (*own._memo.steps, *ring)]
    return counts, own._memo.place, newest, remembered
