"""How slots move in a compaction: forward, in place, through memory that exists, so that nothing is allocated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infinipot_v.grain import grain_of

MOVE_SLOTS = 512
"""Slots of all heads of one layer that the window has; it moves `heads` times as many of one head."""


class Window:
    """The memory that slots move through: one piece a device, shared by all layers and all buffers; part of the cap."""

    def __init__(self) -> None:
        self._kinds: set[tuple[object, ...]] = set()
        self._memory: dict[torch.device, Tensor] = {}

    def reserve(self, buffer: Tensor) -> None:
        """Make room for `MOVE_SLOTS` slots of a layer's buffer `[heads, slots, ...]`, once for buffers alike."""
        kind = (buffer.shape[0], *buffer.shape[2:], buffer.dtype, buffer.device)
        if kind not in self._kinds:
            self._kinds.add(kind)
            size = self._bytes(buffer.device) + MOVE_SLOTS * buffer[:, 0].nbytes
            self._memory[buffer.device] = torch.empty(size, dtype=torch.uint8, device=buffer.device)

    def _bytes(self, device: torch.device) -> int:
        return self._memory[device].numel() if device in self._memory else 0

    def slots(self, buffer: Tensor) -> Tensor:
        """All of the device's memory as slots of one head of a buffer: `[n, ...]`, n >= `MOVE_SLOTS` * heads."""
        memory, slot = self._memory[buffer.device], buffer.shape[2:]
        numbers = math.prod(slot)
        count = memory.numel() // (numbers * buffer.dtype.itemsize)
        return memory[: count * numbers * buffer.dtype.itemsize].view(buffer.dtype).view(count, *slot)

    @property
    def nbytes(self) -> int:
        """Bytes on all devices."""
        return sum(memory.nbytes for memory in self._memory.values())


def as_index(kept: Tensor) -> Tensor:
    """Kept slots as `move` takes them, for moves allocate nothing: a head at a time, half the bytes will do."""
    return kept.to(torch.int32 if grain_of(kept.device).by_head else torch.int64)


def move(buffer: Tensor, held: int, kept: Tensor, window: Window) -> None:
    """`buffer[h, :n] = buffer[h, kept[h]]` for a buffer `[heads, slots, ...]` of which `held` slots are filled.

    `kept` `[heads, n]`, see `as_index`, ascends in each head, so slot j receives slot `kept[h, j] >= j`, and a gather
    that goes forward never reads what it has overwritten. Whole rows of one head after the other are copied several
    times faster on a core than a gather of all heads; where every operation is a launch, all heads go at once.
    """
    free = window.slots(buffer)
    if grain_of(buffer.device).by_head:
        for slots, chosen in zip(buffer, kept, strict=True):
            _move_head(slots, chosen, free)
    else:
        _move_heads(buffer, held, kept, free)


def _move_head(slots: Tensor, kept: Tensor, free: Tensor) -> None:
    size = len(free)
    for chosen, target in zip(kept.split(size), slots[: len(kept)].split(size), strict=True):
        target.copy_(torch.index_select(slots, 0, chosen, out=free[: len(chosen)]))


def _move_heads(buffer: Tensor, held: int, kept: Tensor, free: Tensor) -> None:
    """Through the free slots behind those held (the room, which is empty), or the window where it is larger."""
    heads = len(buffer)
    shared = free[: len(free) // heads * heads].unflatten(0, (heads, -1))
    window = max(buffer[:, held:], shared, key=lambda slots: slots.shape[1])
    source = buffer[:, :held]
    for start in range(0, kept.shape[1], window.shape[1]):
        chosen = kept[:, start : start + window.shape[1]]
        moved = window[:, : chosen.shape[1]]
        torch.gather(source, 1, chosen.view(*chosen.shape, *(1,) * (buffer.dim() - 2)).expand(moved.shape), out=moved)
        buffer[:, start : start + chosen.shape[1]] = moved
