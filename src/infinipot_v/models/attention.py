"""Attention of grouped heads without repeated keys and values, through transformers' public `AttentionInterface`.

Where several query heads share a KV head, transformers' SDPA under a mask repeats K and V for every query head: for
28 heads over 50,000 bf16 tokens of 128 numbers that is 717 MB a layer, for one moment. Here the query heads of a group
take turns over the same K and V. It is the same arithmetic, head by head; the mask becomes additive once a forward, not
once a layer. Not in force for models without groups, nor in vision towers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NAME = "grouped_sdpa"
_STOCK_ONLY = ("position_bias", "softcap", "cache")
"""What transformers' own function has further arguments for; such layers are left to it."""


def use_grouped(hf: Any) -> None:
    """Let the language model of `hf`, if it runs SDPA over grouped heads, run this instead."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    text = hf.config.get_text_config(decoder=True)
    heads, kv_heads = text.num_attention_heads, getattr(text, "num_key_value_heads", None)
    if text._attn_implementation != "sdpa" or kv_heads in (None, heads):
        return
    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, additive_mask)
    text._attn_implementation = NAME


def additive_mask(*args: Any, dtype: torch.dtype = torch.float32, **kwargs: Any) -> Tensor | None:
    """transformers' SDPA mask as numbers to add, `[1, 1, queries, slots]`; None where it needs none."""
    from transformers.masking_utils import sdpa_mask

    allowed: Tensor | None = sdpa_mask(*args, dtype=dtype, **kwargs)
    if allowed is None:
        return None
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' contract: query `[batch, heads, n, dim]`, key and value `[batch, kv_heads, slots, dim]`.

    Returns `[batch, n, heads, dim]`. Layers that need what only transformers' function has are handed to it.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    groups = query.shape[1] // key.shape[1]
    own_masks = attention_mask is not None and attention_mask.shape[1] != 1
    if groups == 1 or own_masks or any(kwargs.get(name) is not None for name in _STOCK_ONLY):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    causal = bool(causal) and query.shape[2] > 1 and attention_mask is None
    by_group = query.unflatten(1, (key.shape[1], groups))  # [batch, kv_heads, groups, n, dim]
    if query.shape[2] == 1:  # a group's heads are as good as queries of one head
        mixed = F.scaled_dot_product_attention(by_group[:, :, :, 0], key, value, attention_mask, dropout, scale=scaling)
        return mixed.flatten(1, 2)[:, None], None
    out = query.new_empty(query.shape[0], query.shape[2], key.shape[1], groups, value.shape[3])
    for group in range(groups):
        out[:, :, :, group] = F.scaled_dot_product_attention(
            by_group[:, :, group], key, value, attention_mask, dropout, causal, scale=scaling
        ).transpose(1, 2)
    return out.flatten(2, 3), None
