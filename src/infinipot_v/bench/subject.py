"""What is measured: a model of one shape, how much of it, and how long that may take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from infinipot_v.bench.footage import Footage
from infinipot_v.bench.timing import Deadline
from infinipot_v.budget import Budget
from infinipot_v.models.base import Canvas, Model
from infinipot_v.session import Session
from infinipot_v.types import Frame, UserError

QUESTION = "What is on the table now, who was in the room before, and what has changed since then?"


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    `budgets` are |M| in tokens, the first one where only one is measured; `seen` the tokens at which memory is read,
    ascending, and `answer_seen` those before an answer; `answer_tokens` its length; `steps` those of the timed stream,
    `flat_steps` those of the long one, `exact_steps` those compared with plain Hugging Face; `block` steps run
    together; `repeats` of whatever is repeated.
    """

    budgets: tuple[int, ...] = (6144, 3072)
    seen: tuple[int, ...] = (5_000, 25_000, 50_000, 100_000)
    answer_seen: int = 50_000
    answer_tokens: int = 24
    steps: int = 200
    flat_steps: int = 20_000
    exact_steps: int = 12
    block: int = 4
    repeats: int = 5

    def __post_init__(self) -> None:
        counts = (*self.budgets, *self.seen, self.answer_seen, self.steps, self.flat_steps, self.exact_steps,
                  self.block, self.repeats)  # fmt: skip
        if not self.budgets or not self.seen or min(counts) < 1 or self.answer_tokens < 2:
            raise UserError("every size of a benchmark is at least 1, and an answer has at least 2 tokens")
        if list(self.seen) != sorted(set(self.seen)):
            raise UserError(f"tokens seen must ascend, and these do not: {', '.join(map(str, self.seen))}")

    @property
    def budget(self) -> int:
        """The |M| of what is measured at one budget only."""
        return self.budgets[0]

    @property
    def longest(self) -> int:
        """Tokens of the longest stream that a control watches with a position for each."""
        return max(*self.seen, self.answer_seen)


@dataclass(frozen=True)
class Subject:
    """`frame` is the size (height, width) of the frames that are shown: `footage`, or else noise, one a second."""

    model: Model
    frame: tuple[int, int]
    sizes: Sizes = field(default_factory=Sizes)
    deadline: Deadline = field(default_factory=Deadline)
    footage: Footage | None = None

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.device

    @cached_property
    def canvas(self) -> Canvas:
        """The resolution that the family gives these frames."""
        return self.model.canvas(*self.frame)

    @property
    def step_tokens(self) -> int:
        """Tokens of a step at most, text in the stream included."""
        return self.model.step_tokens(self.canvas)

    def session(
        self,
        policy: str = "infinipot-v",
        tokens: int | None = None,
        positions: str | None = None,
        model: Model | None = None,
        block: int | None = None,
    ) -> Session:
        """A session of `model` (the subject's own), at |M| = `tokens` (the sizes' budget)."""
        return Session(
            model or self.model, Budget(tokens=tokens or self.sizes.budget), policy, positions=positions,
            tokens_per_step=self.canvas.grid.tokens, block=block or self.sizes.block,
        )  # fmt: skip

    def shown(self) -> Iterator[Frame]:
        """The footage, or noise where there is none."""
        return self.footage.frames() if self.footage else self.frames()

    def frames(self, seed: int = 0) -> Iterator[Frame]:
        """Noise without end: eight pictures in turns, which is as much work as any."""
        shape = (8, *self.frame, 3)
        pictures = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        number = 0
        while True:
            yield Frame(pictures[number % len(pictures)], float(number))
            number += 1
