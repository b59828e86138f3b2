"""What an answer must cost: the arithmetic and the bytes of the weights and of the memory, at the rates of a machine.

Derivation: docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from infinipot_v.bench.models import kv_heads
from infinipot_v.bench.timing import now
from infinipot_v.models.base import Model

MATRIX = (16384, 4096)
"""Of the product that is timed: 128 MiB in bf16, more than any cache holds."""

SLOTS = 16384
"""Keys that attention is timed over, where nothing else is said."""

MANY = 64
"""Queries of the products whose arithmetic is timed: about a question's length."""


@dataclass(frozen=True)
class Machine:
    """What PyTorch reaches on a device in a model's dtype, a second: operations and bytes of a product with a matrix
    (`flops`, `bytes`), and of attention (`attention_flops`, `attention_bytes`).

    `stock_bytes` are those of one query as transformers lets it attend, every query head to keys and values that it
    shares with its group: bytes that are held, however often they are read.
    """

    flops: float
    bytes: float
    attention_flops: float
    attention_bytes: float
    stock_bytes: float


@dataclass(frozen=True)
class Need:
    """The numbers of a language model that its time follows from: bytes of what is multiplied with, parameters of the
    layers and of the output matrix, query heads x width of all layers, and bytes of keys and values a token."""

    weight_bytes: int
    weights: int
    output: int
    query_width: int
    kv_bytes: int

    @classmethod
    def of(cls, model: Model) -> Need:
        """Layers and the output matrix; of the table of embeddings only a row is read."""
        text, (heads, dim) = model.text_config, kv_heads(model)
        layers = list(model.hf.get_decoder().layers.parameters())
        output = list(model.hf.get_output_embeddings().parameters())
        return cls(
            weight_bytes=sum(matrix.nbytes for matrix in (*layers, *output)),
            weights=sum(matrix.numel() for matrix in layers),
            output=sum(matrix.numel() for matrix in output),
            query_width=text.num_attention_heads * dim * text.num_hidden_layers,
            kv_bytes=2 * heads * dim * text.num_hidden_layers * model.hf.dtype.itemsize,
        )


def seconds(
    need: Need, machine: Machine, queries: int, held: int, copies: float = 0.0, *, stock: bool = False
) -> float:
    """The least time that `queries` tokens take behind `held` ones: the slower of arithmetic and memory, twice.

        weights:    max(2 (q W + V) / F,     bytes(W + V) / B)
        attention:  max(4 q n (H d L) / F',  n kv / B')  +  copies n kv / B

    q queries, n tokens held, W weights of the layers, V of the output matrix, which meets the last token only, H d L
    query heads x width x layers, kv bytes of keys and values a token, F and B the rates of products, F' and B' those
    of attention. `copies` is how often keys and values are read or written beside the one reading that attention is;
    with `stock`, B' is that of transformers' own attention, which differs for a single query of grouped heads.
    """
    products = 2 * (queries * need.weights + need.output)
    weights = max(products / machine.flops, need.weight_bytes / machine.bytes)
    memory = held * need.kv_bytes
    rate = machine.stock_bytes if stock and queries == 1 else machine.attention_bytes
    attention = max(4 * queries * held * need.query_width / machine.attention_flops, memory / rate)
    return weights + attention + copies * memory / machine.bytes


def measured(model: Model, repeats: int = 15, slots: int = SLOTS) -> Machine:
    """The rates, at their best: products of one row and of some with a matrix; attention of one query and of some."""
    device, dtype = model.device, model.hf.dtype
    (heads, dim), groups = kv_heads(model), model.text_config.num_attention_heads // kv_heads(model)[0]
    matrix = torch.randn(MATRIX, device=device).to(dtype)
    rows = torch.randn(MANY, MATRIX[1], device=device).to(dtype)
    keys, values = torch.randn(2, 1, heads, slots, dim, device=device).to(dtype)
    queries = torch.randn(1, heads, groups * MANY, dim, device=device).to(dtype)
    with torch.no_grad():
        one = _best(lambda: F.linear(rows[:1], matrix), device, repeats)
        many = _best(lambda: F.linear(rows, matrix), device, repeats)
        look = _best(lambda: F.scaled_dot_product_attention(queries[:, :, :groups], keys, values), device, repeats)
        looks = _best(lambda: F.scaled_dot_product_attention(queries, keys, values), device, repeats)
        each = queries[:, :, :groups].flatten(1, 2)[:, :, None]
        stock = _best(lambda: F.scaled_dot_product_attention(each, keys, values, enable_gqa=True), device, repeats)
    return Machine(
        flops=2 * MANY * matrix.numel() / many,
        bytes=matrix.nbytes / one,
        attention_flops=4 * queries.numel() * slots / looks,
        attention_bytes=(keys.nbytes + values.nbytes) / look,
        stock_bytes=(keys.nbytes + values.nbytes) / stock,
    )


def _best(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Seconds of the fastest of some calls, after one that is not counted."""
    call()
    found = []
    for _ in range(repeats):
        began = now(device)
        call()
        found.append(now(device) - began)
    return max(min(found), 1e-9)
