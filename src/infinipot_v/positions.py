"""The clock: explicit positions, built step by step; never from the stored length, never from the stream's length.

A clock is a value. `place` answers the positions of a block and the clock after it, and the session takes the new
clock only when the block is in memory: so a step that is rolled back never happened for the clock either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from infinipot_v.types import Block, Grid, UserError

TextStart = Literal["max", "hf"]

_ROUNDING = 1e-4
"""Times that should fall on a whole index arrive as 1.9999999; a ten-thousandth of an index is no time at all."""


class StreamTooLong(UserError):
    """The next position lies beyond what the model was trained for."""


@dataclass(frozen=True)
class MRopeClock:
    """Positions on three axes (time, height, width), as Qwen2-VL and Qwen2.5-VL are trained (arXiv 2409.12191, 2.1).

    A vision token of step t at (h, w) lies at (start + i(t), start + h, start + w), `start` being the first position
    behind the prefix. i(t) = t, or floor(seconds(t) * rate) where the model's time is absolute (`rate` indices a
    second, Qwen2.5-VL's `tokens_per_second`; seconds count from the first step's).

    Text behind the video starts at the largest position of all + 1 (`text="max"`), as the models were trained and
    transformers 4 did; `text="hf"` follows transformers 5, which starts it at start + max(grid height, grid width)
    and spaces the steps evenly in float32 (`whole_seconds`: by whole seconds, as some of its releases do). Steps leave
    `reserve` positions below `limit` free, so that a stream that has come to its end can still be asked.
    """

    start: int
    grid: Grid
    rate: float | None = None
    text: TextStart = "max"
    whole_seconds: bool = False
    limit: int | None = None
    reserve: int = 0
    steps: int = 0
    origin: float = 0.0
    interval: float | None = None
    latest: int = -1

    @property
    def next_text(self) -> int:
        """The position of the first text token behind what has been placed."""
        extent = max(self.grid.height, self.grid.width)
        if self.steps == 0:
            return self.start
        return self.start + (extent if self.text == "hf" else max(extent, self.latest + 1))

    @property
    def furthest(self) -> int:
        """The largest position placed so far; -1 before any."""
        return (
            self.start + max(self.latest, max(self.grid.height, self.grid.width) - 1) if self.steps else self.start - 1
        )

    @property
    def usable(self) -> int | None:
        """Positions that steps may take; None where the model names no limit."""
        return None if self.limit is None else self.limit - self.reserve

    def place(self, block: Block) -> tuple[Tensor, MRopeClock]:
        """Return int64 positions `[3, 1, tokens]` of a block and the clock after it. Raises `StreamTooLong`."""
        indices, after = self._advance(block.seconds)
        time = torch.tensor(indices).repeat_interleave(self.grid.tokens)
        cells = block.cells.long()
        positions = torch.stack([time, cells // self.grid.width, cells % self.grid.width]) + self.start
        self._check(after.furthest + self.reserve)
        return positions[:, None], after

    def text_positions(self, tokens: int, behind: int = 0) -> Tensor:
        """Positions `[3, 1, tokens]` of text that follows the video and `behind` earlier text tokens."""
        first = self.next_text + behind
        self._check(first + tokens - 1)
        return torch.arange(first, first + tokens).expand(3, 1, tokens)

    def indices(self, steps: Tensor) -> Tensor:
        """Temporal indices i(t) of step numbers, any shape. Where time is absolute, steps count as evenly spaced."""
        if self.rate is None:
            return steps
        return (steps.double() * self.rate * (self.interval or 0.0) + _ROUNDING).floor()

    def prefix_positions(self) -> Tensor:
        """Positions `[3, 1, start]` of the prefix."""
        return torch.arange(self.start).expand(3, 1, self.start)

    def _check(self, position: int) -> None:
        if self.limit is not None and position >= self.limit:
            raise StreamTooLong(
                f"the {self.limit} positions that the model was trained for are used up: "
                "start a new session, or watch at a lower fps"
            )

    def _advance(self, seconds: tuple[float, ...]) -> tuple[list[int], MRopeClock]:
        clock, indices = self, []
        for moment in seconds:
            clock = clock._tick(moment)
            indices.append(clock.latest)
        return indices, clock

    def _tick(self, moment: float) -> MRopeClock:
        origin = self.origin if self.steps else moment
        interval = self.interval
        if self.steps == 1:
            interval = moment - origin
        index = self._index(moment - origin, interval)
        if self.steps and moment < origin:
            raise UserError(
                f"a step at {moment:.3f} s comes before the stream's first, at {origin:.3f} s: times must ascend"
            )
        return replace(self, steps=self.steps + 1, origin=origin, interval=interval, latest=index)

    def _index(self, elapsed: float, interval: float | None) -> int:
        if self.rate is None:
            return self.steps
        if self.text == "hf" and interval is not None:
            interval = int(interval) if self.whole_seconds else interval
            return int((torch.tensor(self.steps) * (self.rate * interval)).long())
        return math.floor(elapsed * self.rate + _ROUNDING)


def without_time(keys: Tensor, indices: Tensor, frequencies: Tensor) -> Tensor:
    """Undo the temporal rotation of M-RoPE: keys as they would be at time 0, float32 `[heads, n, dim]`.

    `keys` `[heads, n, dim]` as stored, `indices` `[heads, n]`, `frequencies` `[pairs]` of the temporal axis, which
    come first; dimension j is rotated with j + dim / 2. For comparing content across time (`tar_keys="content"`).
    """
    half, pairs = keys.shape[-1] // 2, frequencies.numel()
    angles = (indices[..., None].double() * frequencies.double()).float()
    cos, sin = angles.cos(), angles.sin()
    undone = keys.float()
    if undone is keys:
        undone = keys.clone()
    first, second = undone[..., :pairs].clone(), undone[..., half : half + pairs].clone()
    undone[..., :pairs] = first * cos + second * sin
    undone[..., half : half + pairs] = second * cos - first * sin
    return undone
