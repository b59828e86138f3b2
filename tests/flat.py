"""Qwen2-VL with its positions on one line: 1-D RoPE on a model whose every other part is already tested."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.models.base import Model
from infinipot_v.models.qwen2_vl import Qwen2VL
from infinipot_v.positions import Clock, LineClock, Rotary
from infinipot_v.types import Grid


class FlatQwen2VL(Qwen2VL):
    """A position a token, the same on all three axes."""

    default_positions: ClassVar[str] = "compact"

    def clock(self, prefix: int, grid: Grid, text: str = "max") -> Clock:
        """See `Model.clock`."""
        return LineClock(prefix, self.position_limit)

    def rotary(self) -> Rotary:
        """All frequencies turn with the one axis."""
        embed = self.hf.get_decoder().rotary_emb

        def angles(positions: Tensor) -> tuple[Tensor, Tensor]:
            turned = positions[:, None].float() * embed.inv_freq.to(positions.device)
            return turned.cos(), turned.sin()

        return Rotary(embed.inv_freq.numel(), embed.inv_freq.numel(), angles)


def flattened(model: Model) -> FlatQwen2VL:
    """The same checkpoint with 1-D positions."""
    return FlatQwen2VL(model.hf, model.prompt, model.recipe, model.name)


def zeros_like_positions(recorded: Tensor) -> Tensor:
    """Positions at which nothing turns."""
    return torch.zeros_like(recorded)
