"""What a reduction decides: which frames are shown at all, and which tokens of a step reach the language model.

A reduction is a frozen dataclass, as a policy is: its fields are the options and its `repr` is the record. It decides
frame by frame and step by step, looking at nothing that is still to come. What it must remember in between is a value
that the session keeps with its memory: so a step that is not watched leaves no trace here either, and the size of the
blocks changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.types import Frame

SKETCH = 32
"""Rows and columns of a frame's sketch."""


@dataclass(frozen=True)
class Memo:
    """What is carried from one step to the next. `place`: the next step's place in its window, from 0.

    `steps` are embeddings `[cells, hidden]` of whole steps that later ones are compared with.
    """

    place: int = 0
    steps: tuple[Tensor, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return sum(step.nbytes for step in self.steps)


@dataclass(frozen=True)
class Reduction:
    """Shows everything; sub-classes override `repeats`, or `keep`, and say so in `of_frames` and `of_tokens`."""

    name: ClassVar[str] = ""
    of_frames: ClassVar[bool] = False
    """Whether frames can be left out: `repeats` is asked."""
    of_tokens: ClassVar[bool] = False
    """Whether tokens can be left out: `keep` is asked."""
    memo_steps: ClassVar[int] = 0
    """Steps that a `Memo` holds at most; they count in the cap."""

    def repeats(self, sketch: Tensor, last: Tensor) -> bool:
        """Whether a frame repeats the last one that was shown; both are sketches (see `sketch`)."""
        return False

    def keep(self, step: Tensor, memo: Memo) -> tuple[Tensor, Memo]:
        """Say which cells of a whole step stay, bool `[cells]`, and what to remember of it.

        `step` `[cells, hidden]` are the vision embeddings as the language model would get them, cells in their order.
        Pure: neither is written, and the memo keeps copies.
        """
        return torch.ones(len(step), dtype=torch.bool, device=step.device), memo

    def state_bytes(self, step_bytes: int, frames: int) -> int:
        """Bytes remembered at most: a memo of steps of `step_bytes`, sketches of `frames` on their way and one more."""
        return self.memo_steps * step_bytes + self.of_frames * (frames + 1) * 3 * SKETCH**2


def sketch(frame: Frame) -> Tensor:
    """A frame as `SKETCH` x `SKETCH` mean colours, uint8 `[3, rows, columns]`, whatever its size."""
    pixels = torch.from_numpy(np.require(frame.pixels, requirements=["C", "W"]))
    means = F.adaptive_avg_pool2d(pixels.permute(2, 0, 1).float(), SKETCH)
    return means.round_().to(torch.uint8)


def similarities(step: Tensor, other: Tensor) -> Tensor:
    """Cosine of every cell with the same cell of another step, float32 `[cells]`; both `[cells, hidden]`.

    To four decimals: what repeats is equal then, and the vision tower's rounding, which differs a little from one size
    of blocks to the next, decides nothing.
    """
    return F.cosine_similarity(step.float(), other.float(), dim=-1).round(decimals=4)
