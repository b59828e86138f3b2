"""Where a stream is: what a session knows beside its cache, and how it was set up. Both are values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from infinipot_v.budget import Budget
from infinipot_v.cache.state import CacheState
from infinipot_v.generate import Decoding
from infinipot_v.models.base import Canvas, Model, check_text_tokens
from infinipot_v.models.prompt import Turn
from infinipot_v.policies.base import Policy
from infinipot_v.positions import Clock
from infinipot_v.reduction.base import Reduction
from infinipot_v.reduction.stream import Remembered
from infinipot_v.ring import Ring
from infinipot_v.types import Frame, UserError

POSITIONS = ("original", "compact", "hf")


@dataclass(frozen=True)
class Settings:
    """How a session was set up, beside its budget, policy and decoding; see `Session`. Raises `UserError`."""

    positions: str
    system: str | None = None
    tokens_per_step: int | None = None
    max_pixels: int | None = None
    block: int = 4
    reduction: Reduction = field(default_factory=Reduction)
    ring: int = 0
    concurrent: int = 0
    text_tokens: int = 0

    def __post_init__(self) -> None:
        if self.positions not in POSITIONS:
            raise UserError(f"unknown positions {self.positions!r}: choose {', '.join(POSITIONS)}")
        if not 1 <= self.block <= 4096 or (self.tokens_per_step is not None and self.tokens_per_step < 1):
            raise UserError("tokens_per_step must be at least 1, and block from 1 to 4096")
        check_text_tokens(self.text_tokens)
        if not isinstance(self.concurrent, int) or not 0 <= self.concurrent <= 4096:
            raise UserError(f"concurrent={self.concurrent!r} is out of range: it is a number of forks, from 0 to 4096")
        Ring(self.ring)

    def beside(self, model: Model) -> int:
        """Bytes kept beside the cache at most: the ring's embeddings, and what the reduction remembers."""
        step = model.step_bytes(self.tokens_per_step, self.text_tokens)
        frames = self.block * model.frames_per_step
        return self.ring * step + self.reduction.state_bytes(step, frames)


@dataclass(frozen=True)
class Setup:
    """All that a session is made of beside its model; the budget is in tokens."""

    budget: Budget
    policy: Policy
    decoding: Decoding
    settings: Settings


@dataclass(frozen=True)
class Moment:
    """Where a stream is: one assignment of a new value, and a step has been watched.

    `canvas` and `clock` are None before the first frame; `waiting` frames make no whole step yet. `frames`, `steps` and
    `letterboxed` count what is in memory, and frames that were left out; `cut` counts text tokens that were said and
    left out; times are seconds.
    """

    ring: Ring
    canvas: Canvas | None = None
    clock: Clock | None = None
    waiting: tuple[Frame, ...] = ()
    frames: int = 0
    steps: int = 0
    letterboxed: int = 0
    first_seconds: float = 0.0
    last_seconds: float = float("-inf")
    cut: int = 0

    def begun(self, canvas: Canvas, clock: Clock, seconds: float) -> Self:
        """The first frame fixes the canvas; the prefix is in memory."""
        return replace(self, canvas=canvas, clock=clock, first_seconds=seconds)

    def after(self, frames: Sequence[Frame], steps: int, left_out: int, cut: int, clock: Clock, ring: Ring) -> Self:
        """`steps` more steps of `frames` are in memory; so many frames before them were left out, and text `cut`."""
        assert self.canvas is not None, "the first frame chooses the canvas"
        strange = sum(frame.pixels.shape[:2] != self.canvas.source for frame in frames)
        return replace(
            self, clock=clock, ring=ring, waiting=(), frames=self.frames + len(frames) + left_out,
            steps=self.steps + steps, letterboxed=self.letterboxed + strange, last_seconds=frames[-1].seconds,
            cut=self.cut + cut,
        )  # fmt: skip

    def resting(self, waiting: tuple[Frame, ...], left_out: Sequence[float]) -> Self:
        """Frames that `waiting` keeps wait; frames at the times `left_out` will never be shown."""
        last = max([self.last_seconds, *left_out])
        return replace(self, waiting=waiting, frames=self.frames + len(left_out), last_seconds=last)

    @property
    def newest(self) -> float:
        """The time of the last frame, waiting or not; minus infinity before any."""
        return max([self.last_seconds, *(frame.seconds for frame in self.waiting)])


@dataclass(frozen=True)
class SessionState:
    """All of a session that moves: what `fork` copies and `save` writes."""

    moment: Moment
    reduced: Remembered
    turns: tuple[Turn, ...]
    cache: CacheState
