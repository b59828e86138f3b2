"""The arithmetic of the two towers' layers around attention, as functions of plain tensors.

They are pure, so the same code runs eagerly on a CPU and compiled on a GPU. Parameters are float32;
products are taken in `dtype`, sums of the residual stream in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Params = tuple[Tensor, ...]


class Fused(NamedTuple):
    """The four pieces of a pass, plain or compiled."""

    text_in: Callable[..., Any]
    text_out: Callable[..., Any]
    vision_in: Callable[..., Any]
    vision_out: Callable[..., Any]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    return F.linear(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    low, high = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat((-high, low), -1) * sin).to(x.dtype)


def text_in(x: Tensor, params: Params, cos: Tensor, sin: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """x [B, L, D], cos and sin [b, L, 1, 32] -> q, k, v [B, L, heads, 32], q and k rotated."""
    gain, wq, bq, wk, bk, wv, bv = params
    h = _rms(x, gain)
    q, k, v = (_linear(h, w, b, dtype).unflatten(-1, (-1, 32)) for w, b in ((wq, bq), (wk, bk), (wv, bv)))
    return _rotated(q, cos, sin), _rotated(k, cos, sin), v


def text_out(x: Tensor, seen: Tensor, params: Params, dtype: torch.dtype) -> Tensor:
    """Residual and gated MLP after attention: x, seen [B, L, D] -> [B, L, D]."""
    wo, gain, gate, up, down = params
    x = x + _linear(seen, wo, None, dtype)
    h = _rms(x, gain)
    inner = F.silu(_linear(h, gate, None, dtype).float()) * _linear(h, up, None, dtype)
    return x + _linear(inner, down, None, dtype)


def vision_in(x: Tensor, params: Params, cos: Tensor, sin: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """x [N, 64, E], cos and sin [64, 1, 32] -> q, k, v [N, 64, heads, 32], q and k rotated."""
    gain, shift, weight, bias = params
    h = F.layer_norm(x, x.shape[-1:], gain, shift, 1e-6)
    q, k, v = _linear(h, weight, bias, dtype).unflatten(-1, (3, -1, 32)).unbind(-3)
    return _rotated(q, cos, sin), _rotated(k, cos, sin), v


def vision_out(x: Tensor, seen: Tensor, params: Params, dtype: torch.dtype) -> Tensor:
    """Residual and MLP after attention: x, seen [N, 64, E] -> [N, 64, E]."""
    wo, bo, gain, shift, w1, b1, w2, b2 = params
    x = x + _linear(seen, wo, bo, dtype)
    h = _linear(F.layer_norm(x, x.shape[-1:], gain, shift, 1e-6), w1, b1, dtype).float()
    return x + _linear(h * torch.sigmoid(1.702 * h), w2, b2, dtype)


def text_params(layer: Any) -> tuple[Params, Params]:
    """What text_in and text_out need of a stock decoder layer."""
    a, m = layer.self_attn, layer.mlp
    before = (layer.input_layernorm.weight, a.q_proj.weight, a.q_proj.bias, a.k_proj.weight,
              a.k_proj.bias, a.v_proj.weight, a.v_proj.bias)  # fmt: skip
    gain = layer.post_attention_layernorm.weight
    after = (a.o_proj.weight, gain, m.gate_proj.weight, m.up_proj.weight, m.down_proj.weight)
    return before, after


def vision_params(block: Any) -> tuple[Params, Params]:
    """What vision_in and vision_out need of a stock vision block."""
    a, m, one, two = block.attn, block.mlp, block.norm1, block.norm2
    before = (one.weight, one.bias, a.qkv.weight, a.qkv.bias)
    after = (a.proj.weight, a.proj.bias, two.weight, two.bias,
             m.fc1.weight, m.fc1.bias, m.fc2.weight, m.fc2.bias)  # fmt: skip
    return before, after


PLAIN = Fused(text_in, text_out, vision_in, vision_out)


def compiled() -> Fused:
    """The same pieces through torch.compile, one graph for all lengths."""
    return Fused(*(torch.compile(piece, dynamic=True) for piece in PLAIN))
