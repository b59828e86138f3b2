"""Rotating keys and undoing it: which pairs of a key turn with the position that is re-assigned, and how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infinipot_v.types import UserError


@dataclass(frozen=True)
class Rotary:
    """The part of a model's rotary embedding (arXiv 2104.09864) that compact positions re-assign.

    Dimension j of a key turns with j + `half`, for every j below `pairs`. `angles` maps positions `[n]` to the
    cosines and sines `[n, pairs]`, float32, the model's attention scaling included. `by_step`: all tokens of a step
    share one position (the time axis of M-RoPE); otherwise every slot has its own (1-D RoPE).
    """

    half: int
    pairs: int
    angles: Callable[[Tensor], tuple[Tensor, Tensor]]
    by_step: bool = False


def line_rotary(decoder: Any) -> Rotary:
    """The whole rotary embedding of a 1-D language model, asked of the model itself. Raises `UserError` if unusual."""
    embed: Any = getattr(decoder, "rotary_emb", None)
    if getattr(embed, "rope_type", None) == "longrope":
        raise UserError("this model's rotary embedding changes with the length: use positions='original'")

    def angles(positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = embed(torch.zeros(1, dtype=torch.float32, device=positions.device), positions[None])
        return cos[0], sin[0]

    cos, _ = angles(torch.arange(3, device=next(decoder.parameters()).device)) if embed else (torch.zeros(0), None)
    half = cos.shape[-1] // 2
    if cos.dim() != 2 or not torch.equal(cos[:, :half], cos[:, half:]):
        raise UserError("this model's rotary embedding is none that can be undone: use positions='original'")

    def first_half(positions: Tensor) -> tuple[Tensor, Tensor]:
        cosines, sines = angles(positions)
        return cosines[:, :half], sines[:, :half]

    return Rotary(half, half, first_half)


def turn(keys: Tensor, cos: Tensor, sin: Tensor, half: int, out: Tensor) -> None:
    """Write `keys` `[..., n, dim]`, rotated by `cos`, `sin` `[..., n, pairs]`, into `out`, in the dtype of all three.

    Two products a number, as transformers' own call; nothing but `out` is written and nothing large allocated.
    """
    pairs = cos.shape[-1]
    if 2 * pairs < keys.shape[-1]:
        out.copy_(keys)
    first, second = keys[..., :pairs], keys[..., half : half + pairs]
    torch.mul(first, cos, out=out[..., :pairs]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out[..., half : half + pairs]).addcmul_(first, sin)


def unturn(keys: Tensor, cos: Tensor, sin: Tensor, half: int) -> Tensor:
    """The inverse of `turn`, in float32 and for any attention scaling: a new tensor `[..., n, dim]`, float32."""
    pairs = cos.shape[-1]
    undone = keys.float().clone() if keys.dtype == torch.float32 else keys.float()
    cos, sin = cos.float(), sin.float()
    scale = cos.square() + sin.square()
    first, second = keys[..., :pairs].float(), keys[..., half : half + pairs].float()
    undone[..., :pairs] = (first * cos + second * sin) / scale
    undone[..., half : half + pairs] = (second * cos - first * sin) / scale
    return undone


def without_rotation(keys: Tensor, positions: Tensor, rotary: Rotary) -> Tensor:
    """Keys `[heads, n, dim]` as they would be at position 0, float32; `positions` `[heads, n]`.

    For comparing content across time (`tar_keys="content"`).
    """
    cos, sin = rotary.angles(positions.flatten())
    shape = (*positions.shape, rotary.pairs)
    return unturn(keys, cos.view(shape), sin.view(shape), rotary.half)
