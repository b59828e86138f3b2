"""What must hold of a cache: of what is announced to it, and of what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from infinipot_v.types import Grid, UserError

if TYPE_CHECKING:
    from infinipot_v.cache.capped import CappedCache
    from infinipot_v.cache.slots import SlotStore
    from infinipot_v.cache.state import CacheState


class NonFiniteError(UserError):
    """NaN or infinity in a step's keys or values; the step was rolled back."""


def check_announced(cache: CappedCache, steps: Tensor, grid: Grid) -> None:
    """Raise `UserError` unless the steps are new, ascend and lie on the stream's grid."""
    if cache.grid is not None and grid != cache.grid:
        raise UserError(f"the grid is fixed for the stream's life: it is {cache.grid}, not {grid}")
    if steps.numel() == 0 or bool((steps.diff() < 0).any()) or int(steps[0]) <= cache.counters.newest_step:
        raise UserError(f"steps must be new and ascend; the newest step held is {cache.counters.newest_step}")


def check_finite(cache: CappedCache, start: int, stop: int) -> None:
    """Raise `NonFiniteError` where slots from `start` to `stop` hold NaN or infinity. One host sync a block.

    A sum is finite only if all its terms are.
    """
    sums = [_sums(bank.store.keys, start, stop) + _sums(bank.store.values, start, stop) for bank in cache.banks]
    layers = [bank.of_layers(total).sum(dim=1) for bank, total in zip(cache.banks, sums, strict=True)]
    finite = torch.cat([total.to(sums[0].device) for total in layers]).isfinite()
    if not bool(finite.all()):
        layer = int(finite.logical_not().nonzero()[0])
        raise NonFiniteError(
            f"NaN or infinity in capped layer {layer} after step {cache.counters.newest_step}; "
            "the step was rolled back. Try dtype=float32 or bfloat16, or look at the frames"
        )


def _sums(vectors: Tensor, start: int, stop: int) -> Tensor:
    """Sum of the slots of `[1, heads, slots, dim]` from `start` to `stop`, float32 `[heads]`."""
    return vectors[0, :, start:stop].sum(dim=(1, 2), dtype=torch.float32)


def check_queries(cache: CappedCache, queries: Mapping[int, Tensor]) -> list[Tensor]:
    """The queries of each capped layer, in order. Raises `UserError` where one has none, and `NonFiniteError`."""
    indices = [index for index, layer in enumerate(cache.layers) if layer in cache.capped_layers]
    missing = [index for index in indices if index not in queries]
    if missing:
        raise UserError(
            f"the policy {cache.policy.name} needs queries to compress, and there are none of layer {missing[0]}: "
            "watch with a Session, or give make_room() and compact() what infinipot_v.queries.probe() returns"
        )
    asked = [queries[index] for index in indices]
    finite = torch.stack([query.isfinite().all().to(asked[0].device) for query in asked])
    if not bool(finite.all()):
        layer = int(finite.logical_not().nonzero()[0])
        raise NonFiniteError(
            f"NaN or infinity in the queries of capped layer {layer}; nothing was compressed. "
            "Try dtype=float32 or bfloat16, or look at the frames"
        )
    return asked


def check_state(cache: CappedCache, state: CacheState) -> None:
    """Raise `UserError` unless a snapshot fits this cache: as many layers, of the same heads and dims, in its slots."""
    stores = [layer.store for layer in cache.capped_layers]
    if len(state.stores) != len(stores) or len(state.others) != len(cache.layers) - len(stores):
        raise UserError(
            f"a memory of {len(state.stores)} capped and {len(state.others)} other layers does not fit this model, "
            f"which has {len(stores)} and {len(cache.layers) - len(stores)}"
        )
    held, prefix = state.stores[0].held, state.stores[0].prefix
    for index, (store, saved) in enumerate(zip(stores, state.stores, strict=True)):
        if (saved.prefix, saved.held) != (prefix, held) or saved.shapes != _shapes(store, prefix, held):
            raise UserError(f"the memory of capped layer {index} has another shape than this model's: {saved.shapes}")
    most = held if not cache.policy.bounded else cache.stream_slots
    if not (0 <= prefix <= cache.prefix_limit and 0 <= held <= most):
        raise UserError(
            f"a memory of {prefix} + {held} tokens does not fit {cache.prefix_limit} + {most}: give it a larger budget"
        )


def _shapes(store: SlotStore, prefix: int, held: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of what a store of this layer holds: keys, values, then steps, cells and scores."""
    heads, slots, labels = store.shape.heads, prefix + held, (store.shape.heads, held)
    return (1, heads, slots, store.shape.key_dim), (1, heads, slots, store.shape.value_dim), labels, labels, labels


def check_integrity(cache: CappedCache) -> None:
    """Raise AssertionError unless all layers agree and every head's slots are in order, unique and on the grid."""
    stores = [layer.store for layer in cache.capped_layers]
    for store in stores:
        assert store.used == stores[0].used, "layers hold different numbers of slots"
        assert store.held == cache.held_tokens, "slots that were never committed"
        _, _, steps, cells, scores = store.stream()
        assert not bool(scores.isnan().any()), "a score is NaN"
        assert bool((steps.diff() >= 0).all()), "steps must ascend in every head"
        if cache.grid is not None:
            assert bool((cells < cache.grid.tokens).all()), "a cell lies outside the grid"
            assert all(row.unique().numel() == row.numel() for row in _labels(steps, cells, cache.grid)), (
                "a token is held twice"
            )
    if cache.policy.bounded:
        assert cache.held_tokens <= cache.stream_slots, "more slots than the budget"
        assert cache.nbytes <= cache.cap_bytes, "more bytes than the cap"


def _labels(steps: Tensor, cells: Tensor, grid: Grid) -> Tensor:
    """A number for every vision token, the same for the same token; text, which has no cell, gets one a slot."""
    text = -1 - torch.arange(steps.shape[1], device=steps.device)
    return torch.where(cells >= 0, steps.long() * grid.tokens + cells, text)
