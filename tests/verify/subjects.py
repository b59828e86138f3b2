"""Subjects on tiny checkpoints, and adapters that are wrong in one way each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from infinipot_v.models.base import Model
from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.verify.scene import scene_frames
from infinipot_v.verify.subject import Subject


def subject_of(model: Model, folder: Path, steps: int = 12) -> Subject:
    """A subject with frames that must be resized, of no simple aspect."""
    return Subject(model, CheckpointFiles.of(folder), scene_frames(steps * model.frames_per_step, 150, 250))


def as_a(kind: type[Model], model: Model) -> Model:
    """The same checkpoint behind another adapter class."""
    return kind(**{field.name: getattr(model, field.name) for field in fields(model)})


def broken(model: Model, **methods: Callable[..., Any]) -> Model:
    """The model with methods replaced; each is given the right one's result: `method(self, result, *arguments)`."""
    right = type(model)

    def wrapped(name: str, wrong: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *some, **more: wrong(self, getattr(right, name)(self, *some, **more), *some, *more.values())

    return as_a(type("Broken", (right,), {name: wrapped(name, wrong) for name, wrong in methods.items()}), model)


def positions_shifted(model: Model) -> Model:
    """Every step lies one position too far."""

    class Shifted(type(model)):  # type: ignore[misc]
        def prefill(self, block: Any, positions: torch.Tensor, cache: Any) -> None:
            super().prefill(block, positions + 1, cache)

    return as_a(Shifted, model)


def mean_wrong(model: Model) -> Model:
    """The mean of red is off by 0.02."""
    red, *others = model.recipe.image_mean
    return replace(model, recipe=replace(model.recipe, image_mean=(red + 0.02, *others)))


def cells_shifted(model: Model) -> Model:
    """Every slot claims the next cell."""

    def next_cells(self: Model, block: Any, _frames: Any, canvas: Any, _first: int) -> Any:
        return replace(block, cells=torch.where(block.cells < 0, block.cells, (block.cells + 1) % canvas.grid.tokens))

    return broken(model, encode=next_cells)


def steps_swapped(model: Model) -> Model:
    """The pictures of a block come in the wrong order; their times do not."""

    def backwards(self: Model, pictures: torch.Tensor, _frames: Any, _canvas: Any) -> torch.Tensor:
        return pictures.flip(0)

    return broken(model, pictures=backwards)


def filter_wrong(model: Model) -> Model:
    """Bilinear, where the checkpoint says bicubic or Lanczos."""
    return replace(model, recipe=replace(model.recipe, resample=2))


def colours_swapped(model: Model) -> Model:
    """Blue, green, red."""
    return broken(model, pictures=lambda self, pictures, *_: pictures.flip(1))


def prompt_wrong(model: Model) -> Model:
    """One more space behind the question."""
    template = model.prompt.template.replace("add_generation_prompt %}", "add_generation_prompt %}{{ ' ' }}")
    assert template != model.prompt.template
    return replace(model, prompt=replace(model.prompt, template=template))


def unsteady(model: Model) -> Model:
    """Embeddings differ a little every time."""

    def noisy(self: Model, block: Any, *_: Any) -> Any:
        return replace(block, embeddings=block.embeddings + torch.randn_like(block.embeddings) * 1e-2)

    return broken(model, encode=noisy)
