"""Slots and their labels: change the pixels behind one cell, and see which slot of the memory notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from infinipot_v.cache.layers import capped
from infinipot_v.types import Frame, Grid
from infinipot_v.verify.finding import Finding, within
from infinipot_v.verify.subject import Subject

SEEN = {True: 1e-3, False: 0.05}
"""The share of itself that a slot must change by to have noticed anything, in float32 and in half precision."""


def cells(subject: Subject) -> Finding:
    """Corners, centre and one more: the slot that changes most must claim the cell whose pixels changed."""
    grid, before = subject.canvas.grid, _watched(subject, subject.frames)
    step = subject.steps // 2
    wrong = []
    chosen = _chosen(grid)
    for row, column in chosen:
        after = _watched(subject, _changed(subject, step, row, column))
        found = _noticing(before, after)
        if found != (step, row * grid.width + column):
            wrong.append(
                f"the pixels of cell ({row}, {column}) of step {step} show in the slot of {_named(found, grid)}"
            )
    right = f"{len(chosen)} cells of {grid.height} x {grid.width} are where their slots say"
    return within("cells", float(len(wrong)), 0.0, "; ".join(wrong[:2]), right)


def steps(subject: Subject) -> Finding:
    """A changed step is seen by its own slots and by no other's."""
    before, pair = _watched(subject, subject.frames), subject.model.frames_per_step
    wrong = []
    for step in {0, subject.steps - 1}:
        frames = list(subject.frames)
        for index in range(step * pair, (step + 1) * pair):
            frames[index] = replace(frames[index], pixels=255 - frames[index].pixels)
        after = _watched(subject, frames)
        moved = _change(before, after) > SEEN[subject.model.hf.dtype is torch.float32]
        others = int((moved & (before[1] != step)).sum())
        own = int((moved & (before[1] == step) & (before[2] >= 0)).sum())
        if others or own < subject.canvas.grid.tokens // 2:
            wrong.append(f"the pixels of step {step} show in {own} of its own slots and {others} of other steps")
    return within("steps", float(len(wrong)), 0.0, "; ".join(wrong), "a step's pixels show in its own slots only")


Watched = tuple[Tensor, Tensor, Tensor]
"""Values `[slots, heads * dim]`, steps and cells `[slots]` of the first capped layer."""


def _watched(subject: Subject, frames: Sequence[Frame]) -> Watched:
    """What the memory holds after watching: a value of the first layer depends on its own token alone."""
    session = subject.session(frames=frames)
    session.watch(iter(frames))
    _, values, labels, places, _ = capped(session.cache.layers)[0].store.stream()
    return values.transpose(0, 1).flatten(1).float(), labels[0].clone(), places[0].clone()


def _changed(subject: Subject, step: int, row: int, column: int) -> list[Frame]:
    """The frames, with the colours behind one cell of one step inverted."""
    height, width = (side // cells for side, cells in _sides(subject))
    pair, frames = subject.model.frames_per_step, list(subject.frames)
    for index in range(step * pair, (step + 1) * pair):
        pixels = frames[index].pixels.copy()
        part = pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        part[:] = 255 - part
        frames[index] = replace(frames[index], pixels=pixels)
    return frames


def _sides(subject: Subject) -> tuple[tuple[int, int], tuple[int, int]]:
    grid, pixels = subject.canvas.grid, subject.canvas.pixels
    return (pixels[0], grid.height), (pixels[1], grid.width)


def _change(before: Watched, after: Watched) -> Tensor:
    """How much each slot changed, relative to what it was."""
    change = torch.linalg.vector_norm(after[0] - before[0], dim=1)
    relative: Tensor = change / torch.linalg.vector_norm(before[0], dim=1).clamp_min(1e-6)
    return relative


def _noticing(before: Watched, after: Watched) -> tuple[int, int]:
    slot = int(_change(before, after).argmax())
    return int(before[1][slot]), int(before[2][slot])


def _chosen(grid: Grid) -> list[tuple[int, int]]:
    """Corners, the centre, and a cell beside it."""
    bottom, right = grid.height - 1, grid.width - 1
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2), (bottom // 2, right // 3)]
    return list(dict.fromkeys(places))


def _named(found: tuple[int, int], grid: Grid) -> str:
    step, cell = found
    if cell < 0:
        return f"text of step {step}"
    return f"cell ({cell // grid.width}, {cell % grid.width}) of step {step}"
