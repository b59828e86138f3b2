"""Cases that are models: one shape each, built with random weights, and what is worth knowing of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from infinipot_v.bench.meter import Meter
from infinipot_v.bench.plan import Plan
from infinipot_v.bench.rows import Result
from infinipot_v.bench.shapes import Shape, build, shapes_of
from infinipot_v.bench.subject import Subject
from infinipot_v.bench.timing import Deadline
from infinipot_v.models.base import Model

SPARE_POSITIONS = 4096
"""For the question, behind the longest stream that is watched."""


@dataclass(frozen=True)
class ModelCase:
    """A case of a `Shape`; `chosen` says what is measured of it by default."""

    shape: Shape
    chosen: Callable[[Plan, Shape], tuple[str, ...]]

    @property
    def name(self) -> str:
        """The shape's."""
        return self.shape.name

    def measures(self, plan: Plan) -> tuple[str, ...]:
        """See `Case`."""
        return self.chosen(plan, self.shape)

    def threads(self, plan: Plan) -> int | None:
        """As planned; one for small shapes, whose matrices a second thread makes slower."""
        return plan.threads or (1 if self.shape.small else None)

    def build(self, plan: Plan, end: Deadline, result: Result) -> Subject:
        """See `Case`."""
        began = time.perf_counter()
        subject = subject_of(plan, self.shape, end)
        about = described(subject)
        result.settings["shapes"][self.name] = about | {"built_seconds": round(time.perf_counter() - began, 2)}
        return subject


def subject_of(plan: Plan, shape: Shape, end: Deadline | None = None) -> Subject:
    """A model of the shape, as much of it as planned."""
    model = build(shape, str(plan.device), plan.layers, positions=plan.sizes.longest + SPARE_POSITIONS)
    frame = plan.footage.size if plan.footage else shape.frame
    return Subject(model, frame, plan.sizes, end or Deadline(), plan.footage)


def model_cases(
    names: tuple[str, ...],
    chosen: Callable[[Plan, Shape], tuple[str, ...]] = lambda plan, _: tuple(plan.bench.measures),
) -> tuple[ModelCase, ...]:
    """Cases of shapes by name. Raises `UserError` for an unknown one."""
    return tuple(ModelCase(shape, chosen) for shape in shapes_of(names))


def described(subject: Subject) -> dict[str, Any]:
    """What figures of a model depend on."""
    model, grid = subject.model, subject.canvas.grid
    text = model.text_config
    return {
        "family": model.family,
        "parameters": sum(parameter.numel() for parameter in model.hf.parameters()),
        "weights_bytes": sum(parameter.nbytes for parameter in model.hf.parameters()),
        "layers": text.num_hidden_layers,
        "hidden_size": text.hidden_size,
        "vocabulary": text.vocab_size,
        "kv_bytes_a_token": kv_bytes(model),
        "threads": torch.get_num_threads(),
        "attention": text._attn_implementation,
        "dtype": str(model.hf.dtype).removeprefix("torch."),
        "frame": list(subject.frame),
        "grid": [grid.height, grid.width],
        "tokens_per_step": subject.step_tokens,
        "frames_per_step": model.frames_per_step,
        "default_positions": model.default_positions,
        "position_limit": model.position_limit,
        "memory_by": Meter(subject.device).kind,
    }


def kv_heads(model: Model) -> tuple[int, int]:
    """KV heads of a layer, and their width."""
    text = model.text_config
    return text.num_key_value_heads, getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads


def kv_bytes(model: Model) -> int:
    """Keys and values of one token, all layers."""
    heads, dim = kv_heads(model)
    return int(2 * heads * dim * model.text_config.num_hidden_layers * model.hf.dtype.itemsize)
