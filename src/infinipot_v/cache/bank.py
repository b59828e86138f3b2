"""Layers that are alike, side by side: what goes for all their heads is done in one go, not once a layer.

Every operation costs a core a call and a GPU a launch, and a compaction has hundreds. A layer's own store is a part of
its bank's; how many layers make a bank depends on the device (`grain`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from torch import Tensor

from infinipot_v.cache.layers import CappedLayer
from infinipot_v.cache.moving import MOVE_SLOTS, Window
from infinipot_v.cache.rotation import Rotation
from infinipot_v.cache.slots import Region, Shape, SlotStore
from infinipot_v.grain import grain_of
from infinipot_v.interrupts import deferred_interrupts


class Bank:
    """Layers whose slots are filled alike, and the one store of which theirs are parts: layer after layer of heads."""

    def __init__(self, store: SlotStore, count: int, rotation: Rotation | None) -> None:
        self._store = store
        self.layers = [CappedLayer(part, rotation) for part in store.split(count)]

    @property
    def store(self) -> SlotStore:
        """All heads of all layers, `layers * heads`, filled as the layers are."""
        self._store.used = self.layers[0].store.used
        return self._store

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, the shared window excluded."""
        return self._store.nbytes

    def of_layers(self, rows: Tensor) -> Tensor:
        """`[layers * heads, ...]` as `[layers, heads, ...]`."""
        return rows.view(len(self.layers), -1, *rows.shape[1:])

    def compact(self, kept: Tensor) -> None:
        """Keep the stream slots `kept`, integers `[layers * heads, n]`: see `SlotStore.compact`."""
        self.store.compact(kept)
        for layer in self.layers:
            layer.store.used[Region.STREAM] = kept.shape[1]

    def grow(self, tokens: int) -> None:
        """Make place for `tokens` stream slots, for the full cache alone. What is there stays until all is copied."""
        if self._store.limits[Region.STREAM] >= tokens:
            return
        larger = self.store.grown(tokens)
        parts = larger.split(len(self.layers))
        with deferred_interrupts():
            self._store = larger
            for layer, part in zip(self.layers, parts, strict=True):
                part.note, layer.store = layer.store.note, part


def banks_of(
    shapes: Sequence[Shape], prefix: int, tokens: int, room: int, window: Window, rotation: Rotation | None, apart: bool
) -> Iterator[Bank]:
    """Allocate the layers `shapes` in banks, in order; `apart`: each for itself, as those must be that are to grow."""
    for shape, run in groupby(shapes):
        count = len(list(run))
        for layers in _evenly(count, 1 if apart else _together(shape, tokens)):
            bank = Bank(SlotStore(shape.times(layers), prefix, tokens, room, window), layers, rotation)
            bank.layers[0].store.reserve()
            yield bank


def _together(shape: Shape, tokens: int) -> int:
    """How many layers of a shape make a bank at most; so few that the window has a slot for every head."""
    keys = max(1, tokens * shape.heads * shape.key_dim)
    return max(1, min(MOVE_SLOTS, grain_of(shape.device).bank // keys))


def _evenly(count: int, most: int) -> Iterator[int]:
    """Cut `count` into as few parts of at most `most` as can be, no two of them more than one apart."""
    parts = -(-count // most)
    return (count * (part + 1) // parts - count * part // parts for part in range(parts))
