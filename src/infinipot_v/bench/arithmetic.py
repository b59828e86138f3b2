"""What an answer must cost: the arithmetic and the bytes of the weights and of the memory, and how fast a machine is.

Derivation: docs/performance.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from infinipot_v.bench.models import kv_heads
from infinipot_v.bench.timing import now
from infinipot_v.models.base import Model


@dataclass(frozen=True)
class Machine:
    """`flops` a second in the model's dtype, and `bytes` a second that a read from memory brings."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Need:
    """The numbers of a language model that its time follows from: bytes and parameters that a token is multiplied
    with, query heads x width of all layers, and bytes of keys and values a token."""

    weight_bytes: int
    weights: int
    query_width: int
    kv_bytes: int

    @classmethod
    def of(cls, model: Model) -> Need:
        """Layers and the output matrix; of the table of embeddings only a row is read."""
        text, (heads, dim) = model.text_config, kv_heads(model)
        layers = model.hf.get_decoder().layers
        matrices = [*layers.parameters(), *model.hf.get_output_embeddings().parameters()]
        return cls(
            weight_bytes=sum(matrix.nbytes for matrix in matrices),
            weights=sum(matrix.numel() for matrix in matrices),
            query_width=text.num_attention_heads * dim * text.num_hidden_layers,
            kv_bytes=2 * heads * dim * text.num_hidden_layers * model.hf.dtype.itemsize,
        )


def seconds(need: Need, machine: Machine, queries: int, held: int, passes: float = 1.0) -> float:
    """The least time that `queries` tokens take behind `held` ones: what is slower of arithmetic and memory, twice.

        weights:    max(2 q W / F,           bytes(W) / B)
        attention:  max(4 q n (H d L) / F,   passes n kv / B)

    q queries, n tokens held, W weights, H d L query heads x width x layers, kv bytes of keys and values a token.
    `passes` is how often those go through memory: once where they are only read.
    """
    weights = max(2 * queries * need.weights / machine.flops, need.weight_bytes / machine.bytes)
    attention = max(
        4 * queries * held * need.query_width / machine.flops, passes * held * need.kv_bytes / machine.bytes
    )
    return weights + attention


def measured(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> Machine:
    """The best of some products of 512 x 2048 x 4096 numbers, and of sums over 256 MiB."""
    left = torch.randn(512, 2048, device=device).to(dtype)
    right = torch.randn(4096, 2048, device=device).to(dtype)
    much = torch.ones(2**26, dtype=torch.float32, device=device)
    product = _best(lambda: torch.nn.functional.linear(left, right), device, repeats)
    reading = _best(lambda: much.sum(), device, repeats)
    return Machine(2 * 512 * 2048 * 4096 / product, much.nbytes / reading)


def _best(call: object, device: torch.device, repeats: int) -> float:
    assert callable(call)
    call()
    found = []
    for _ in range(repeats):
        began = now(device)
        call()
        found.append(now(device) - began)
    return max(min(found), time.get_clock_info("perf_counter").resolution)
