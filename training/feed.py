"""Worker processes that draw streams and questions of the current stage into a queue of batches."""

from __future__ import annotations

import multiprocessing as mp
import os
from multiprocessing.process import BaseProcess
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infinipot_v.pocket.levels import level_named
from infinipot_v.pocket.plan import Plan, plan_of
from infinipot_v.pocket.questions import QUESTION_KINDS
from infinipot_v.pocket.scene import build_scene
from infinipot_v.pocket.seeds import TRAIN
from training.blocks import Rows, encoded, rows_of
from training.cells import labels_of
from training.curriculum import STAGES, Stage

Batch = dict[str, NDArray[Any]]
LATE = 0.4  # share of questions asked at a stream's end
SEEDS_A_WORKER = 10**9


def draw_batch(stage: Stage, steps: int, odds: list[float], seed: int, size: int) -> Batch:
    """A batch of `size` streams with seeds from `seed` on. Same arguments, same batch."""
    level = level_named(stage.level)
    plans: list[Plan] = []
    rows: list[Rows] = []
    cells, noise = [], []
    for index in range(seed, seed + size):
        scene = build_scene(index, steps, level)
        plans.append(plan_of(scene))
        cells.append(labels_of(scene))
        noise.append(scene.noise)
        if stage.kinds:
            rows.append(rows_of(scene, Random(index), stage.rows, odds, LATE))
    batch: Batch = {name: np.concatenate([getattr(p, name) for p in plans]) for name in Plan._fields}
    batch |= {name: np.stack([getattr(r, name) for r in rows]) for name in Rows._fields if rows}
    return batch | {"cells": np.stack(cells), "noise": np.array(noise, np.float32)}


class Feed:
    """The workers. `turn_to` moves them to another stage or other odds; batches already drawn may
    still arrive, so every batch names its stage. shrink divides the size of all batches."""

    def __init__(self, workers: int, seed: int, shrink: int = 1, depth: int = 2):
        context = mp.get_context("fork")
        encoded("")  # the workers inherit the tokenizer
        self._state = context.Array("d", 1 + len(QUESTION_KINDS))
        self._queue: Any = context.Queue(max(2, workers * depth))
        starts = [TRAIN.start + (seed * 1000 + i) * SEEDS_A_WORKER for i in range(workers)]
        self._workers: list[BaseProcess] = [
            context.Process(target=_work, args=(self._state, self._queue, s, shrink), daemon=True) for s in starts
        ]

    def start(self, stage: int, odds: list[float]) -> None:
        """Start drawing."""
        self.turn_to(stage, odds)
        for worker in self._workers:
            worker.start()

    def turn_to(self, stage: int, odds: list[float]) -> None:
        """Draw this stage from now on, with these odds per question kind."""
        self._state[:] = [float(stage), *odds]

    def take(self) -> tuple[int, Batch]:
        """The next batch and its stage; waits for it."""
        taken: tuple[int, Batch] = self._queue.get(timeout=120)
        return taken

    def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.terminate()


def _work(state: Any, queue: Any, seed: int, shrink: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    while True:
        stage, *odds = list(state[:])
        plan = STAGES[int(stage)]
        steps = Random(seed).choice(plan.steps)
        size = max(1, plan.batch // shrink // steps)
        queue.put((int(stage), draw_batch(plan, steps, odds, seed, size)))
        seed += size
