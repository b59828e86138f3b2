"""The slots of one layer: preallocated keys and values, and what is known of every stream slot.

Slots lie in one buffer, in three regions that follow each other without gaps:

    prefix (never dropped) | stream (at most |M|, compacted in place) | room (history, question, answer)

Of every stream slot and head the store knows the token's true step (int32), its spatial cell (int16) and the
policy's score (float32): 10 bytes. Knows no policy, no position and nothing of transformers.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from infinipot_v.cache.moving import Window, move
from infinipot_v.policies.base import Note

METADATA_BYTES = 10
"""Bytes of metadata a stream slot and head: int32 step, int16 cell, float32 score."""


class Region(Enum):
    """Where the next tokens are written."""

    PREFIX = "prefix"
    STREAM = "stream"
    ROOM = "room"


@dataclass(frozen=True)
class Shape:
    """What one layer stores a token: `heads` KV heads of `key_dim` and `value_dim` numbers of `dtype`, on `device`."""

    heads: int
    key_dim: int
    value_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's keys and values."""
        return self.heads * (self.key_dim + self.value_dim) * self.dtype.itemsize

    def times(self, layers: int) -> Shape:
        """The shape of `layers` such layers as one of all their heads."""
        return replace(self, heads=layers * self.heads)


@dataclass(frozen=True)
class StoreState:
    """What a store holds in prefix and stream, copied or as views; the room is never part of it.

    Keys and values `[1, heads, prefix + held, dim]`; steps, cells, scores `[heads, held]`.
    """

    prefix: int
    held: int
    keys: Tensor
    values: Tensor
    steps: Tensor
    cells: Tensor
    scores: Tensor
    note: Note | None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the five tensors."""
        return tuple(tuple(t.shape) for t in (self.keys, self.values, self.steps, self.cells, self.scores))


class SlotStore:
    """Keys and values `[1, heads, prefix + tokens + room, dim]`; steps, cells, scores `[heads, tokens]`.

    `limits` are the slots of each region; `used` how many of them are filled. Nothing is allocated after
    construction; `grown` makes a larger copy, which only the full-cache policy asks for.
    """

    def __init__(self, shape: Shape, prefix: int, tokens: int, room: int, window: Window) -> None:
        self.shape = shape
        self.limits = {Region.PREFIX: prefix, Region.STREAM: tokens, Region.ROOM: room}
        self.used = dict.fromkeys(Region, 0)
        self.note: Note | None = None
        self._window = window
        self._allocate(sum(self.limits.values()), tokens)

    def _allocate(self, slots: int, tokens: int) -> None:
        shape, device = self.shape, self.shape.device
        self.keys = torch.zeros(1, shape.heads, slots, shape.key_dim, dtype=shape.dtype, device=device)
        self.values = torch.zeros(1, shape.heads, slots, shape.value_dim, dtype=shape.dtype, device=device)
        self.steps = torch.zeros(shape.heads, tokens, dtype=torch.int32, device=device)
        self.cells = torch.zeros(shape.heads, tokens, dtype=torch.int16, device=device)
        self.scores = torch.zeros(shape.heads, tokens, dtype=torch.float32, device=device)

    def split(self, count: int) -> list[SlotStore]:
        """`count` stores of as many heads each, whose buffers are views of this one's; one is the store itself."""
        return [self] if count == 1 else [self._part(index, self.shape.heads // count) for index in range(count)]

    def _part(self, index: int, heads: int) -> SlotStore:
        part, some = copy(self), slice(index * heads, (index + 1) * heads)
        part.shape, part.used = replace(self.shape, heads=heads), dict(self.used)
        part.keys, part.values = self.keys[:, some], self.values[:, some]
        part.steps, part.cells, part.scores = self.steps[some], self.cells[some], self.scores[some]
        return part

    def reserve(self) -> None:
        """Make the window large enough for these buffers."""
        for buffer in self._stream_buffers():
            self._window.reserve(buffer)

    @property
    def length(self) -> int:
        """Filled slots, all regions together."""
        return sum(self.used.values())

    @property
    def held(self) -> int:
        """Filled stream slots."""
        return self.used[Region.STREAM]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers of this layer, the shared window excluded."""
        return sum(b.nbytes for b in (self.keys, self.values, self.steps, self.cells, self.scores))

    def fits(self, region: Region, tokens: int) -> bool:
        """Whether `tokens` more go into `region`."""
        return self.used[region] + tokens <= self.limits[region]

    def write(self, region: Region, keys: Tensor, values: Tensor) -> None:
        """Write `[1, heads, n, dim]` behind the last filled slot. `fits` comes first; regions fill in order."""
        n, start = keys.shape[2], self.length
        assert self.fits(region, n), f"{n} tokens do not fit the {region.value}"
        self.keys[:, :, start : start + n] = keys
        self.values[:, :, start : start + n] = values
        self.used[region] += n

    def filled(self) -> tuple[Tensor, Tensor]:
        """Keys and values of all filled slots, `[1, heads, length, dim]`, as views."""
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def stream(self, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Views of stream slots: keys, values `[heads, n, dim]`; steps, cells, scores `[heads, n]`."""
        stop = self.held if stop is None else stop
        keys, values, steps, cells, scores = self._stream_buffers()
        return (
            keys[:, start:stop],
            values[:, start:stop],
            steps[:, start:stop],
            cells[:, start:stop],
            scores[:, start:stop],
        )

    def _stream_buffers(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        first = self.used[Region.PREFIX]
        return self.keys[0, :, first:], self.values[0, :, first:], self.steps, self.cells, self.scores

    def label(self, start: int, steps: Tensor, cells: Tensor) -> None:
        """Record the true step and cell of the stream slots from `start` on; `[n]`, the same for every head."""
        stop = start + steps.numel()
        self.steps[:, start:stop] = steps.to(self.steps)
        self.cells[:, start:stop] = cells.to(self.cells)

    def compact(self, kept: Tensor) -> None:
        """Keep the stream slots `kept` (integers `[heads, n]`, ascending in each head), in place; see `moving.move`."""
        assert self.used[Region.ROOM] == 0, "roll back before compacting"
        for buffer in self._stream_buffers():
            move(buffer, self.held, kept, self._window)
        self.used[Region.STREAM] = kept.shape[1]

    def truncate(self, prefix: int, held: int, room: int = 0) -> None:
        """Forget all but the first slots of each region."""
        self.used = {Region.PREFIX: prefix, Region.STREAM: held, Region.ROOM: room}

    def grown(self, tokens: int) -> SlotStore:
        """A copy with `tokens` stream slots, the room empty: for the unbounded full cache alone, which has no cap."""
        larger = SlotStore(self.shape, self.limits[Region.PREFIX], tokens, self.limits[Region.ROOM], self._window)
        kept = self.used[Region.PREFIX] + self.held
        larger.keys[:, :, :kept], larger.values[:, :, :kept] = self.keys[:, :, :kept], self.values[:, :, :kept]
        for ours, theirs in zip(self._metadata(), larger._metadata(), strict=True):
            theirs[:, : self.held] = ours[:, : self.held]
        larger.truncate(self.used[Region.PREFIX], self.held)
        larger.note = self.note
        return larger

    def _metadata(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.steps, self.cells, self.scores

    def state(self, *, copy: bool = True) -> StoreState:
        """Prefix and stream: copied, or as views."""
        kept = self.used[Region.PREFIX] + self.held
        views = (self.keys[:, :, :kept], self.values[:, :, :kept], *self.stream()[2:])
        keys, values, steps, cells, scores = (view.clone() if copy else view for view in views)
        return StoreState(self.used[Region.PREFIX], self.held, keys, values, steps, cells, scores, self.note)

    def restore(self, state: StoreState) -> None:
        """Put a copied state back, in place; the room is empty afterwards."""
        kept = state.prefix + state.held
        self.keys[:, :, :kept], self.values[:, :, :kept] = state.keys, state.values
        self.steps[:, : state.held], self.cells[:, : state.held] = state.steps, state.cells
        self.scores[:, : state.held] = state.scores
        self.truncate(state.prefix, state.held)
        self.note = state.note
