"""Attention of one layer of the 0.5b shape over 50,000 keys, as transformers runs it and as we do; JSON, seconds of 24.

python docs/stock_attention.py        # two threads, a minute
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from infinipot_v.models.attention import grouped_attention

LAYERS, HEADS, KV_HEADS, DIM, HELD, QUESTION = 24, 14, 2, 64, 50_000, 75


def seconds(call: Callable[[], object], repeats: int = 9) -> float:
    """Seconds that as many layers take as the model has: the median of some calls behind one that is not counted."""
    call()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return round(LAYERS * median(found), 3)


def main() -> None:
    """A question under a mask, and one token behind the copy that a growing cache makes for it."""
    torch.set_num_threads(2)
    layer: Any = SimpleNamespace(num_key_value_groups=HEADS // KV_HEADS, is_causal=True)
    keys, values = torch.randn(2, 1, KV_HEADS, HELD, DIM).bfloat16()
    one, question = torch.randn(1, HEADS, 1, DIM).bfloat16(), torch.randn(1, HEADS, QUESTION, DIM).bfloat16()
    allowed = torch.ones(1, 1, QUESTION, HELD, dtype=torch.bool)
    added = torch.zeros(1, 1, QUESTION, HELD, dtype=torch.bfloat16)
    growing, token = DynamicLayer(), torch.randn(1, KV_HEADS, 1, DIM).bfloat16()
    growing.update(keys, values)

    def grown() -> object:
        return sdpa_attention_forward(layer, one, *growing.update(token, token), None, scaling=DIM**-0.5)

    found = {
        "question, transformers": seconds(
            lambda: sdpa_attention_forward(layer, question, keys, values, allowed, scaling=DIM**-0.5)
        ),
        "question, ours": seconds(lambda: grouped_attention(layer, question, keys, values, added, scaling=DIM**-0.5)),
        "one token, transformers with its copy": seconds(grown),
        "the copy alone": seconds(lambda: growing.update(token, token)),
        "one token, ours": seconds(lambda: grouped_attention(layer, one, keys, values, None, scaling=DIM**-0.5)),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
