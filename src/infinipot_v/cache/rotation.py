"""Compact positions: stream keys lie un-rotated and are turned to where they belong now whenever they are read.

What a slot's position follows from is its *rank*: with 1-D RoPE its place among the slots of its head, with M-RoPE that
of its step among the steps which the head still holds, counted back from the newest; there a text token counts as a
step, for words have an order. Stored keys are never written again, so no rounding accumulates however often the ranks
change. All layers of one shape are read through one shared scratch, which is part of the cap (arXiv 2506.15745, section
3; the storage and the M-RoPE form are ours).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from infinipot_v.cache.slots import Region, Shape, SlotStore
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.positions.rotary import Rotary, turn, unturn

READ_CHUNK = 8192
"""Slots whose angles are looked up at once where every head has its own."""


class Rotation:
    """Angles of all ranks, `[ranks, pairs]`, and the scratch that keys are read through, `[1, heads, slots, dim]`.

    `newest` is the number of ranks in use: one more than the rank of the newest slot (`Rotary.by_step` only).
    """

    def __init__(self, rotary: Rotary, shapes: Sequence[Shape], ranks: int, slots: int) -> None:
        self.rotary = rotary
        self.newest = 0
        self._shapes = list(shapes)
        self._position_of: Callable[[Tensor], Tensor] = torch.zeros_like
        self._most = torch.iinfo(torch.long).max
        self._allocate(ranks, slots)

    def _allocate(self, ranks: int, slots: int) -> None:
        """All or nothing: what is there is replaced when everything new is there."""
        places = {(shape.dtype, shape.device) for shape in self._shapes}
        angles = {
            (dtype, device): torch.zeros(2, ranks, self.rotary.pairs, dtype=dtype, device=device)
            for dtype, device in places
        }
        scratch = {
            _kind(shape): torch.empty(1, shape.heads, slots, shape.key_dim, dtype=shape.dtype, device=shape.device)
            for shape in self._shapes
        }
        asked = self._position_of(torch.arange(ranks))
        positions = asked.clamp(max=self._most)
        self._fill(angles, positions)
        with deferred_interrupts():
            self._angles, self._scratch, self._positions = angles, scratch, positions
            self.usable = int((asked <= self._most).sum())

    @property
    def by_step(self) -> bool:
        """Whether a rank is that of a step; otherwise it is that of a slot."""
        return self.rotary.by_step

    def before(self, coming: int, held: int, ranks: int) -> int:
        """The rank of the first of `coming` ranks to come, of its slot where slots are ranked.

        Behind `held` slots and `ranks` in use. Where the model's positions do not suffice for all that is held, the
        oldest share the first rank.
        """
        return max(0, min(ranks, self.usable - coming)) if self.by_step else held

    def kept(self, stores: Sequence[SlotStore], kept: Sequence[Tensor]) -> int:
        """The most ranks that one head keeps with its slots `kept`; 0 where nothing is ranked by step."""
        if not self.by_step:
            return 0
        return max(_ranks_kept(store, slots.long()) for store, slots in zip(stores, kept, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of the angles and of the scratch."""
        return sum(buffer.nbytes for buffer in (*self._angles.values(), *self._scratch.values()))

    def assign(self, positions: Callable[[Tensor], Tensor], limit: int | None) -> None:
        """Give every rank its position; `positions` maps ranks to int64 positions. Cheap when nothing changed.

        Positions from `limit` on are none of the model's, so it is never asked for them: `usable` counts the ranks
        before it. When this fails or is interrupted, the next call begins anew.
        """
        most = torch.iinfo(torch.long).max if limit is None else max(0, limit - 1)
        asked = positions(torch.arange(self._positions.numel()))
        wanted = asked.clamp(max=most)
        if not torch.equal(wanted, self._positions):
            self._fill(self._angles, wanted)
        with deferred_interrupts():
            self._position_of, self._most = positions, most
            self._positions, self.usable = wanted, int((asked <= most).sum())

    def grow(self, ranks: int, slots: int) -> None:
        """Make place for more, for the full cache alone, which has no cap."""
        self._allocate(ranks, slots)

    def _fill(self, angles: Mapping[tuple[torch.dtype, torch.device], Tensor], positions: Tensor) -> None:
        turned = {device: torch.stack(self.rotary.angles(positions.to(device))) for _, device in angles}
        with deferred_interrupts():
            for (_, device), kept in angles.items():
                kept.copy_(turned[device])

    def undo(self, keys: Tensor, store: SlotStore) -> Tensor:
        """Arriving stream keys `[1, heads, n, dim]` without their rotation, in their own dtype."""
        held = store.held
        cos, sin = self._looked_up(store, self._ranks(store, held + keys.shape[2]), held, held + keys.shape[2])
        return unturn(keys, cos, sin, self.rotary.half).to(keys.dtype)

    def read(self, store: SlotStore) -> Tensor:
        """All filled keys `[1, heads, length, dim]`, those of the stream turned to their positions."""
        keys = store.filled()[0]
        out = self._scratch[_kind(store.shape)][:, :, : store.length]
        first, last = store.used[Region.PREFIX], store.used[Region.PREFIX] + store.held
        out[:, :, :first], out[:, :, last:] = keys[:, :, :first], keys[:, :, last:]
        ranks, chunk = self._ranks(store, store.held), READ_CHUNK if self.rotary.by_step else max(1, store.held)
        for start in range(0, store.held, chunk):
            stop = min(store.held, start + chunk)
            cos, sin = self._looked_up(store, ranks, start, stop)
            slots = slice(first + start, first + stop)
            turn(keys[0, :, slots], cos, sin, self.rotary.half, out[0, :, slots])
        return out

    def _ranks(self, store: SlotStore, filled: int) -> Tensor | None:
        """Ranks of the first `filled` stream slots, int64 `[heads, filled]`; None where a slot's rank is its place."""
        if not self.rotary.by_step:
            return None
        changes = _changes(store.steps[:, :filled], store.cells[:, :filled])
        return changes.add_(self.newest - 1 - changes[:, -1:]).clamp_(min=0)

    def _looked_up(self, store: SlotStore, ranks: Tensor | None, start: int, stop: int) -> Tensor:
        """Cosines and sines of the stream slots `start` to `stop`: `[2, n, pairs]` or `[2, heads, n, pairs]`."""
        angles = self._angles[store.shape.dtype, store.shape.device]
        return angles[:, start:stop] if ranks is None else angles[:, ranks[:, start:stop]]


def _ranks_kept(store: SlotStore, kept: Tensor) -> int:
    """The most ranks in one head of the stream slots `kept`, int64 `[heads, n]`."""
    steps, cells = (labels.gather(1, kept) for labels in store.stream()[2:4])
    return int(_changes(steps, cells)[:, -1].max()) + 1 if steps.numel() else 0


def _changes(steps: Tensor, cells: Tensor) -> Tensor:
    """How many times the rank has changed up to each slot, int64 `[heads, slots]`: another step, or a text token."""
    changed = torch.zeros(steps.shape, dtype=torch.long, device=steps.device)
    changed[:, 1:] = (steps[:, 1:] != steps[:, :-1]) | (cells[:, 1:] < 0)
    return changed.cumsum_(1)


def _kind(shape: Shape) -> tuple[object, ...]:
    return shape.heads, shape.key_dim, shape.dtype, shape.device
