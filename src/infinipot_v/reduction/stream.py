"""One stream's reduction: what it remembers, and what it has left out. All of it moves on with the memory's steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from infinipot_v.reduction.base import Memo, Reduction, sketch
from infinipot_v.reduction.block import Reduced
from infinipot_v.types import Block, Frame


@dataclass(frozen=True)
class Remembered:
    """A reduction's part of a saved memory: counts of what was left out, the memo, the newest frame's sketch and those
    of waiting frames, by their times."""

    frames: int = 0
    tokens: int = 0
    memo: Memo = field(default_factory=Memo)
    newest: Tensor | None = None
    waiting: tuple[tuple[float, Tensor], ...] = ()


class Reducing:
    """Asks a reduction about frames and blocks. `frames` and `tokens` count what was left out.

    Asking changes nothing that counts: `settle` does, when a step is in memory. So a step that fails takes with it what
    came behind it. A frame that is left out is known by its time, for times ascend.
    """

    def __init__(self, reduction: Reduction) -> None:
        self.reduction = reduction
        self.frames = self.tokens = 0
        self._memo = Memo()
        self._newest: Tensor | None = None
        self._sketches: dict[float, Tensor] = {}
        self._left_out: list[float] = []

    @property
    def nbytes(self) -> int:
        """Bytes of what is remembered: the memo, and sketches of the newest frame in memory and of those behind it."""
        newest = 0 if self._newest is None else self._newest.nbytes
        return self._memo.nbytes + newest + sum(one.nbytes for one in self._sketches.values())

    def state(self) -> Remembered:
        """What is remembered now."""
        return Remembered(self.frames, self.tokens, self._memo, self._newest, tuple(self._sketches.items()))

    def restore(self, state: Remembered) -> None:
        """Remember that, and nothing else."""
        self.frames, self.tokens = state.frames, state.tokens
        self._memo, self._newest, self._sketches = state.memo, state.newest, dict(state.waiting)
        self._left_out = []

    def shown(self, frames: Sequence[Frame], waiting: Sequence[Frame]) -> tuple[Frame, ...]:
        """Those of `frames` that are shown behind the ones that wait; what was asked and not settled is forgotten."""
        self._left_out = []
        if not self.reduction.of_frames:
            return tuple(frames)
        self._sketches = {frame.seconds: self._sketches[frame.seconds] for frame in waiting}
        last, shown = self._sketches[waiting[-1].seconds] if waiting else self._newest, list[Frame]()
        for frame in frames:
            now = sketch(frame)
            if last is not None and not frame.text.strip() and self.reduction.repeats(now, last):
                self._left_out.append(frame.seconds)
            else:
                shown.append(frame)
                self._sketches[frame.seconds] = last = now
        return tuple(shown)

    def of(self, block: Block) -> Reduced:
        """What stays of the steps behind those in memory."""
        return Reduced.of(self.reduction, block, self._memo)

    def settle(self, reduced: Reduced, until: float) -> int:
        """Steps whose frames end at the time `until` are in memory; returns the frames left out before that."""
        self._memo = reduced.memos[-1]
        self.tokens += reduced.dropped
        self._newest = self._sketches.get(until)
        self._sketches = {time: one for time, one in self._sketches.items() if time > until}
        return len(self._settled([time for time in self._left_out if time < until]))

    def settle_rest(self) -> list[float]:
        """What was shown is in memory or waits; returns the times of frames left out since."""
        return self._settled(self._left_out)

    def _settled(self, times: list[float]) -> list[float]:
        self._left_out = self._left_out[len(times) :]
        self.frames += len(times)
        return times
