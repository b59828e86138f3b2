"""A checkpoint's model without its weights: built on torch's `meta` device from config.json, behind its adapter.

So whatever can be asked of a loaded model (its grid, its layers, its positions) is asked of the same code here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from infinipot_v.cache.cost import MemoryCost
from infinipot_v.cache.layers import LayerPlan, plan_layers
from infinipot_v.models import adapter_for
from infinipot_v.models.base import Canvas, Model
from infinipot_v.models.prompt import Prompt
from infinipot_v.models.weights import damage
from infinipot_v.survey import parts
from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.types import Block

NO_PROMPT = Prompt(None, "", "")
"""Stands where no tokenizer is; whatever would tokenise must not be called then."""

FRAME = (720, 1280)
"""Height and width of the frames that figures are given for."""


@dataclass(frozen=True)
class Shapes:
    """What follows from a checkpoint's configuration. `model` has no weights and must not be run."""

    model: Model
    dtype: torch.dtype

    @property
    def family(self) -> str:
        """transformers' `model_type`."""
        return self.model.family

    @property
    def text_config(self) -> Any:
        """Configuration of the language model."""
        return self.model.text_config

    @cached_property
    def canvas(self) -> Canvas:
        """The resolution that frames of 720p get at the default settings."""
        return self.model.canvas(*FRAME)

    @cached_property
    def step_tokens(self) -> int:
        """Tokens a step at the default settings; text between frames is counted where there is a tokenizer."""
        known = not self.text_between_frames or self.model.prompt.tokenizer is not None
        return self.model.step_tokens(self.canvas) if known else self.canvas.grid.tokens

    @property
    def text_between_frames(self) -> bool:
        """Whether the family writes text between frames, which is part of a step."""
        around = getattr(self.model, "text_around", None)
        return around is not None and any(around(1, 0.0))

    @property
    def axes(self) -> int:
        """Axes of a position: 3 for M-RoPE, 1 for 1-D RoPE."""
        return 3 if self._clock.by_step else 1

    @property
    def _clock(self) -> Any:
        return self.model.clock(0, self.canvas.grid)

    @cached_property
    def plan(self) -> LayerPlan:
        """Which layers are capped, and what the others keep. Raises `UserError` for layers that cannot be."""
        return plan_layers(self.model.hf)

    @property
    def layers(self) -> dict[str, int]:
        """How many layers there are of each kind."""
        kinds = getattr(self.text_config, "layer_types", None) or ["full_attention"] * len(self.plan.layers)
        return {kind: list(kinds).count(kind) for kind in dict.fromkeys(kinds)}

    @cached_property
    def cost(self) -> MemoryCost:
        """The price of a memory with the family's default positions."""
        return MemoryCost.of(list(self.plan.shapes.values()), self.plan.other_state_bytes, self._turning_pairs())

    def _turning_pairs(self) -> int:
        """Pairs of a key that compact positions turn; 0 where they are not the default (docs/memory.md)."""
        if self.model.default_positions != "compact":
            return 0
        rope = getattr(self.text_config, "rope_parameters", None) or {}
        key_dim = next(iter(self.plan.shapes.values())).key_dim
        section = rope.get("mrope_section")
        return int(section[0]) if section else int(key_dim * rope.get("partial_rotary_factor", 1.0)) // 2

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in the dtype they are loaded in, tied ones once."""
        return self.numbers * self.dtype.itemsize

    @cached_property
    def numbers(self) -> int:
        """Numbers in all weights, tied ones once."""
        return sum(parameter.numel() for parameter in self.model.hf.parameters())

    def positions_a_second(self, fps: float = 1.0) -> float:
        """Positions that a second of video uses up; 0 where they are re-assigned and never run out."""
        if self.model.default_positions == "compact":
            return 0.0
        pair, cells, count = self.model.frames_per_step, self.canvas.grid.tokens, 256
        clock, reached = replace(self._clock, limit=None), []
        for half in range(2):
            numbers = torch.arange(half * count, (half + 1) * count)
            seconds = tuple(float(step) * pair / fps for step in numbers)
            block = Block(torch.empty(0), numbers.repeat_interleave(cells), torch.arange(cells).repeat(count), seconds)
            _, clock = clock.place(block)
            reached.append(clock.furthest)
        return float(reached[1] - reached[0]) * fps / (count * pair)


def shapes_of(files: CheckpointFiles, prompt: Prompt | None, dtype: torch.dtype) -> Shapes:
    """Build the shapes of a checkpoint; `prompt` is its own, or None where it has no tokenizer here.

    Raises `UserError` for an architecture that is not supported and for files that are missing or damaged.
    """
    adapter = adapter_for(str(files.config.get("model_type")))
    with damage(f"the checkpoint {files.name} is damaged"):
        recipe = adapter.recipe_of(*parts.pixel_files(files))
        return Shapes(adapter(skeleton(files, dtype), prompt or NO_PROMPT, recipe, files.name), dtype)


def skeleton(files: CheckpointFiles, dtype: torch.dtype) -> Any:
    """The stock model of a configuration, on the `meta` device."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(files.place, trust_remote_code=False, **files.where)
    # A quantised checkpoint has the shapes of its model; how its numbers are packed is the files' business.
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config, dtype=dtype).eval()
