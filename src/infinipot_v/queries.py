"""Queries of the language model, taken while it runs and only while somebody asks for them.

transformers offers one public place where a layer's rotated queries pass: the attention function. So a function of
ours is registered by its public `AttentionInterface`, with the same mask as the one in force. It takes the queries and
hands everything on. It is in force inside the `with` and nowhere else; nothing is left on the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from infinipot_v.cache import CappedCache
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.models.base import Model
from infinipot_v.types import Block

NAME = "queries_of_"
"""Before the name of the implementation in force: transformers looks for "flash" in it."""


@dataclass
class _Taking:
    """Queries of one language model (by its `config`) on their way through `inner`, the implementation in force."""

    config: Any
    inner: str
    last: int
    outer: _Taking | None
    taken: dict[int, Tensor] = field(default_factory=dict)

    def take(self, layer: int, query: Tensor) -> None:
        """Keep the last ones of `[1, heads, n, dim]` and of those before."""
        newest = query[0, :, -self.last :]
        missing = self.last - newest.shape[1]
        before = self.taken.get(layer)
        if before is not None and missing:
            newest = torch.cat([before[:, -missing:], newest], 1)
        self.taken[layer] = newest.clone()

    def begin(self) -> None:
        """Come between the model and its attention."""
        _IN_FORCE[id(self.config)] = self
        self.config._attn_implementation = NAME + self.inner

    def end(self) -> None:
        """Leave everything as it was."""
        self.config._attn_implementation = self.inner
        if self.outer is None:
            _IN_FORCE.pop(id(self.config), None)
        else:
            _IN_FORCE[id(self.config)] = self.outer


_IN_FORCE: dict[int, _Taking] = {}
Queries = dict[int, Tensor]
"""By the layer's index in the model: `[query_heads, n, dim]`."""


@contextmanager
def recorded_queries(hf: Any, last: int) -> Iterator[Queries]:
    """Take the last `last` queries that the full-attention layers of `hf`'s language model compute inside the `with`.

    Yields a mapping that fills while the model runs: index of the layer in the model -> `[query_heads, n, dim]`,
    rotated to the positions they ran at; n < `last` where fewer ran. Sliding and recurrent layers have no entry. Works
    over any attention implementation, and inside itself; for batches of one and one thread a model.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    config = hf.config.get_text_config(decoder=True)
    taking = _Taking(config, config._attn_implementation, last, _IN_FORCE.get(id(config)))
    AttentionInterface.register(NAME + taking.inner, _attention)
    masks = AttentionMaskInterface()
    if taking.inner in masks:  # without one, transformers makes no mask, here neither
        AttentionMaskInterface.register(NAME + taking.inner, masks[taking.inner])
    try:
        taking.begin()
        yield taking.taken
    finally:
        with deferred_interrupts():
            taking.end()


def probe(model: Model, cache: CappedCache, shown: Block | Sequence[int], positions: Tensor, last: int) -> Queries:
    """The last `last` queries of a step, or of text ids, shown behind what a cache holds; see `recorded_queries`.

    They run at `positions` in the room, which must have place for them, and are rolled back, also when this fails. What
    comes of it is not part of the cap: it lives as long as one compaction, as the activations of a prefill do.
    """
    cache.rollback()
    try:
        with recorded_queries(model.hf, last) as queries:
            if isinstance(shown, Block):
                model.prefill(shown, positions, cache)
            else:
                model.prefill_text(shown, positions, cache)
    finally:
        cache.rollback()
    return queries


def _attention(module: nn.Module, query: Tensor, *args: Any, **kwargs: Any) -> Any:
    """transformers' contract: take the queries, and let the implementation in force do its work under its own name."""
    taking = _IN_FORCE[id(module.config)]
    if kwargs.get("sliding_window") is None:
        taking.take(int(module.layer_idx), query)  # type: ignore[arg-type]
    modelling: Any = sys.modules[type(module).__module__]
    taking.end()
    try:
        attention = modelling.ALL_ATTENTION_FUNCTIONS.get_interface(taking.inner, modelling.eager_attention_forward)
        return attention(module, query, *args, **kwargs)
    finally:
        taking.begin()
