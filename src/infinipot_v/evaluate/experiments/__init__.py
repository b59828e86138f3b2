"""The paper's experiments in form, on the embedded world: one file each, one command (`eval pocket --ablations`)."""

from __future__ import annotations

from infinipot_v.evaluate.experiments import (
    ablation,
    additions,
    alpha,
    cameras,
    compactions,
    dialogue,
    keep,
    methods,
    recent,
    trials,
)
from infinipot_v.evaluate.experiments.base import Experiment

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: tuple[Experiment, ...] = tuple(
    module.EXPERIMENT
    for module in (ablation, methods, trials, alpha, recent, keep, dialogue, cameras, compactions, additions)
)
"""In the order in which they are told."""
