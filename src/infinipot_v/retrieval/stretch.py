"""A stretch of tokens: keys and values that lie together and move together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infinipot_v.cache.slots import Shape


@dataclass(frozen=True)
class Stretch:
    """Keys `[heads, tokens, key_dim]` and values `[heads, tokens, value_dim]` of consecutive tokens of one layer."""

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(cls, shape: Shape, tokens: int = 0, device: torch.device | None = None) -> Stretch:
        """Unwritten tokens, on the layer's device unless another is named."""
        keys, values = (
            torch.empty(shape.heads, tokens, dim, dtype=shape.dtype, device=device or shape.device)
            for dim in (shape.key_dim, shape.value_dim)
        )
        return cls(keys, values)

    @property
    def tokens(self) -> int:
        """How many tokens."""
        return self.keys.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return self.keys.nbytes + self.values.nbytes

    def first(self, tokens: int) -> Stretch:
        """The first tokens, as a view."""
        return Stretch(self.keys[:, :tokens], self.values[:, :tokens])

    def copy_to(self, device: torch.device) -> Stretch:
        """A copy of its own on `device`, also where it lies there already."""
        return Stretch(*(t.to(device, copy=True, memory_format=torch.contiguous_format) for t in self.tensors()))

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Keys and values."""
        return self.keys, self.values


def joined(*stretches: Stretch) -> Stretch:
    """One behind the other, as a copy."""
    return Stretch(torch.cat([s.keys for s in stretches], 1), torch.cat([s.values for s in stretches], 1))
