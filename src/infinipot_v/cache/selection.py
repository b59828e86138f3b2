"""The policy's part in a compaction: what it is shown of a cache, and where its scores and notes are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from infinipot_v.cache.checks import check_queries
from infinipot_v.cache.moving import as_index
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.policies.base import KVView, Note
from infinipot_v.types import Grid

if TYPE_CHECKING:
    from infinipot_v.cache.capped import CappedCache
    from infinipot_v.cache.slots import SlotStore


def select(cache: CappedCache, keep: int, queries: Mapping[int, Tensor] | None = None) -> list[Tensor]:
    """Let the policy name `keep` slots of every layer and head, integers `[layers * heads, keep]` a bank.

    Nothing moves. `queries` are by layer of the model; only a policy that needs some is shown them, and raises
    `UserError` without. Before the first compaction it also notes what it needs of each layer, and scores anew what is
    held; if it fails, notes and scores are as before.
    """
    asked = check_queries(cache, queries or {}) if cache.policy.needs_queries else None
    first = not cache.counters.compressions and all(layer.store.note is None for layer in cache.capped_layers)
    try:
        if first:
            _calibrate(cache)
        return list(_selected(cache, keep, asked))
    except BaseException:
        if first:
            _uncalibrate(cache)
        raise


def _selected(cache: CappedCache, keep: int, queries: list[Tensor] | None) -> Iterator[Tensor]:
    """The slots that stay, a bank at a time."""
    first = 0
    for bank in cache.banks:
        layers = range(first, first + len(bank.layers))
        if cache.policy.by_head:
            kept = cache.policy.select(_view_of(cache, bank.store, first, cache.grid, None), keep)
        else:
            views = (_view(cache, index, cache.grid) for index in layers)
            if queries is not None:
                views = (_with_queries(cache, view, queries[view.layer]) for view in views)
            kept = torch.cat([cache.policy.select(view, keep) for view in views])
        yield as_index(kept)
        first = layers.stop


def score_arrivals(cache: CappedCache, grid: Grid, cells: Tensor) -> None:
    """Let the policy score the slots written behind those held, and keep the scores with them; `cells` as announced."""
    count, rest = divmod(cells.numel(), grid.tokens)
    whole = not rest and torch.equal(cells.long(), torch.arange(grid.tokens).repeat(count))
    for index in range(len(cache.capped_layers)):
        view = replace(_view(cache, index, grid, start=cache.held_tokens), whole=whole)
        _keep_scores(cache, index, cache.policy.on_step(view), start=cache.held_tokens)


def _calibrate(cache: CappedCache) -> None:
    layers = cache.capped_layers
    notes = [cache.policy.calibrate(_view(cache, index, cache.grid)) for index in range(len(layers))]
    for index, (layer, note) in enumerate(zip(layers, notes, strict=True)):
        layer.store.note = note
        _keep_scores(cache, index, cache.policy.rescore(_view(cache, index, cache.grid)))


def _uncalibrate(cache: CappedCache) -> None:
    """The scores of before follow from the values, which have not moved."""
    with deferred_interrupts():
        for index, layer in enumerate(cache.capped_layers):
            layer.store.note = None
            _keep_scores(cache, index, cache.policy.on_step(_view(cache, index, cache.grid)))


def _keep_scores(cache: CappedCache, index: int, scores: Tensor | None, start: int = 0) -> None:
    if scores is not None:
        cache.capped_layers[index].store.stream(start)[4].copy_(scores)


def _view(cache: CappedCache, index: int, grid: Grid | None, start: int = 0) -> KVView:
    """What the policy sees of one layer."""
    store = cache.capped_layers[index].store
    return _view_of(cache, store, index, grid, store.note, start)


def _view_of(
    cache: CappedCache, store: SlotStore, index: int, grid: Grid | None, note: Note | None, start: int = 0
) -> KVView:
    assert grid is not None, "a view needs a grid, which comes with the first step"
    keys, values, steps, cells, scores = store.stream(start)
    return KVView(
        keys, values, steps, cells, grid, index, len(cache.capped_layers), scores=scores,
        fresh_steps=cache.counters.fresh_steps, note=note, content=cache.content_keys,
    )  # fmt: skip


def _with_queries(cache: CappedCache, view: KVView, queries: Tensor) -> KVView:
    """A view with queries, and keys turned to where these meet them; they lie in the scratch until the next read."""
    layer = cache.capped_layers[view.layer]
    if layer.rotation is None:
        return replace(view, queries=queries)
    keys = layer.rotation.read(layer.store)[0, :, cache.prefix_tokens :]
    return replace(view, queries=queries, read=keys)
