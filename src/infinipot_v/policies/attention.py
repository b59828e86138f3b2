"""What queries attend to: the mean attention that held slots receive, and its pooling over neighbours.

Shapes: queries `[query_heads, n, dim]`, keys `[heads, slots, dim]`; query head q reads key head q // (query_heads /
heads). Nothing of the size heads x slots x dim, nor query_heads x n x slots, is ever built: keys are streamed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.policies.base import KVView
from infinipot_v.policies.chunks import chunk_of, chunks
from infinipot_v.types import UserError


def attention_received(view: KVView) -> Tensor:
    """Attention of `view.queries` to each slot, mean over a key head's queries and tokens: float32 `[heads, slots]`.

        a(h, j) = mean over q of softmax_j (q . k_j / sqrt(dim))

    Rows sum to 1. Departures, for all policies that use it: the softmax runs over the slots of the view, so what the
    queries spend on the prefix and on themselves is left out; the scale is 1 / sqrt(dim), whatever the model's.
    Raises `UserError` when the view has no queries.
    """
    if view.queries is None:
        raise UserError("this policy reads queries, and the view has none: give KVView(queries=...)")
    keys = view.keys if view.read is None else view.read
    heads, slots, dim = keys.shape
    asked = view.queries.to(keys.device).reshape(heads, -1, dim).float() * dim**-0.5
    parts = list(chunks(slots, heads * max(asked.shape[1], dim), chunk_of(keys)))
    total: Tensor = asked.new_full(asked.shape[:2], -torch.inf)
    for part in parts:
        total = torch.logaddexp(total, _logits(asked, keys[:, part]).logsumexp(-1))
    received: Tensor = asked.new_empty(heads, slots)
    for part in parts:
        received[:, part] = _logits(asked, keys[:, part]).sub_(total[..., None]).exp_().mean(1)
    return received


def _logits(asked: Tensor, keys: Tensor) -> Tensor:
    logits: Tensor = asked @ keys.float().transpose(1, 2)
    return logits


def pool_neighbours(scores: Tensor, kernel: int, how: str) -> Tensor:
    """Average or maximum ("average", "max") over `kernel` (odd) slots around each; `[heads, slots]`, ends not padded.

    Neighbours are slots as they lie: what was evicted between two of them is no longer there.
    """
    if how == "max":
        return F.max_pool1d(scores[None], kernel, stride=1, padding=kernel // 2)[0]
    return F.avg_pool1d(scores[None], kernel, stride=1, padding=kernel // 2, count_include_pad=False)[0]
