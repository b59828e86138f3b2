"""The nouns of the project: what a frame, a grid, a block, an answer and a report are.

Frozen dataclasses, nothing else. This file imports nothing of ours and no torch at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


class UserError(ValueError):
    """A mistake of the caller's; the message is one line and says the remedy. The CLI exits with 2 on it."""


class RoomFull(UserError):
    """More tokens than the memory has slots for; raised before anything is written."""


@dataclass(frozen=True)
class Frame:
    """One picture of a stream: `pixels` uint8 `[height, width, 3]` (RGB), `seconds` since the stream began.

    `text` is what is said while it stands, subtitles for one; it goes into the stream behind the picture.
    """

    pixels: np.ndarray
    seconds: float
    text: str = ""


@dataclass(frozen=True)
class Grid:
    """The spatial grid of one step as the language model sees it, in tokens."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Vision tokens a step."""
        return self.height * self.width


@dataclass(frozen=True)
class Block:
    """Consecutive encoded steps, ready for the prefill.

    `embeddings` `[tokens, hidden]`; `steps` and `cells` int64 `[tokens]` on the CPU (cell -1: text in the stream);
    `seconds` holds one start time a step; `extras` are further tensors the language model wants beside the embeddings.
    In a step, what is said comes behind the picture.
    """

    embeddings: torch.Tensor
    steps: torch.Tensor
    cells: torch.Tensor
    seconds: tuple[float, ...]
    extras: Mapping[str, object] = field(default_factory=dict)

    @property
    def ranks(self) -> int:
        """Places in time that its tokens take where a picture's share one: one a picture, and one a text token."""
        return ranks_of(self.steps, self.cells)

    def _starts(self) -> list[int]:
        """Where each step's tokens begin, and the end of the last."""
        return [0, *((self.steps.diff() > 0).nonzero().flatten() + 1).tolist(), self.steps.numel()]

    def steps_within(self, tokens: int, first: int) -> int:
        """How many steps from `first` on have at most `tokens` tokens together; 1 if not even one has."""
        starts = self._starts()
        return max(1, sum(end - starts[first] <= tokens for end in starts[first + 1 :]))

    def part(self, first: int, count: int) -> Block:
        """The block's steps `first` to `first + count`, counted from its own first step."""
        starts = self._starts()
        tokens = slice(starts[first], starts[first + count])
        return replace(
            self, embeddings=self.embeddings[tokens], steps=self.steps[tokens], cells=self.cells[tokens],
            seconds=self.seconds[first : first + count],
        )  # fmt: skip


def ranks_of(steps: torch.Tensor, cells: torch.Tensor) -> int:
    """See `Block.ranks`; integers `[tokens]`, steps ascending."""
    if not steps.numel():
        return 0
    return 1 + int(((steps[1:] != steps[:-1]) | (cells[1:] < 0)).sum())


@dataclass(frozen=True)
class Answer:
    """What `Session.ask` returns. Times are wall-clock seconds; `tokens` counts generated tokens."""

    question: str
    text: str
    tokens: int
    first_token_seconds: float
    seconds: float
    finish: str
    """`stop` (the model ended or a stop string came), `length` (`max_new_tokens`) or `room` (the room was full)."""
    dropped_turns: int = 0
    """Oldest turns of the dialogue that did not fit the room and were left out of the prompt."""


@dataclass(frozen=True)
class MemoryReport:
    """The state of a session's memory. Tokens are slots per layer and head; bytes are bytes.

    `reduced_*` count what a reduction left out, `cut_tokens` what was said and did not fit `text_tokens`.
    """

    policy: str
    budget_tokens: int
    held_tokens: int
    seen_tokens: int
    prefix_tokens: int
    room_tokens: int
    steps: int
    frames: int
    waiting_frames: int
    letterboxed_frames: int
    reduced_frames: int
    reduced_tokens: int
    seconds: float
    compressions: int
    cap_bytes: int
    nbytes: int
    peak_bytes: int
    position: int
    position_limit: int | None
    kernels: tuple[float | None, ...]
    variations: tuple[float | None, ...]
    restored: str = ""
    """Of a memory from a file that was made elsewhere: what is different here (device, dtype). Else empty."""
    cut_tokens: int = 0
