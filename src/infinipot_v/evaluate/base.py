"""What a benchmark is: items with frames and timed questions, a prompt, a score. One file each beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from infinipot_v.evaluate.records import Record
from infinipot_v.generate import Decoding
from infinipot_v.models.base import Model
from infinipot_v.types import Frame, UserError

SHORT = Decoding(max_new_tokens=8)
"""An answer of a word or two."""


class BrokenVideo(UserError):
    """A video is missing or cannot be read: nothing that the person who runs the benchmark did wrong."""


@dataclass(frozen=True)
class Asked:
    """One question of an item. `at` is when the stream must have come to (seconds), None: at its end.

    `kind` and `delay` (seconds since the evidence left the picture) are what results are broken down by; so is
    `group`, a wider cut that some benchmarks have. Polls of one question share a `series`. Of a yes-or-no question
    (`yes_no`) the probability of yes against no is recorded beside the reply. `options` are those of a choice.
    `identity` is the benchmark's own number of the question; `context` is text that comes before it.
    `truth` is the second from which a standing question is to be answered.
    """

    text: str
    answer: str
    kind: str
    at: float | None = None
    delay: float = 0.0
    group: str = ""
    series: str = ""
    yes_no: bool = False
    options: tuple[str, ...] = ()
    identity: str = ""
    context: str = ""
    truth: float | None = None


@dataclass(frozen=True)
class Item:
    """One stream and its questions, in the order in which they are asked.

    `tokens` is what a full cache would hold at its end, `step_tokens` what one step takes; `seconds` is its length.
    A benchmark that knows them only with a model and the file in hand says 0 here, and them in `Benchmark.sized`.
    """

    name: str
    tokens: int
    step_tokens: int
    questions: tuple[Asked, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Manner:
    """How every contender watches and answers: resolution (see `Session`), room, system prompt, decoding.

    `frames` is how many frames the control without a memory sees; `text_tokens` may be said with a step.
    """

    tokens_per_step: int | None = None
    max_pixels: int | None = None
    room: int = 512
    system: str | None = None
    decoding: Decoding = SHORT
    frames: int = 4
    text_tokens: int = 0


class Benchmark(ABC):
    """Items, prompt, score. `settings` are everything that a result depends on beside model and policy."""

    name: str
    manner: Manner = Manner()
    """How it is watched and answered; `Manner.room` are the slots beside |M| for one question and its answer."""

    forgiving: bool = False
    """Whether a contender whose memory grows with the stream is left out where that does not fit."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, object]:
        """JSON-able; a run refuses to resume when they differ."""

    @abstractmethod
    def items(self) -> Iterable[Item]:
        """All items, in a fixed order."""

    def sized(self, item: Item, model: Model) -> Item:
        """The item with its tokens known, right before it is watched; may raise `UserError` for a broken video."""
        return item

    @abstractmethod
    def frames(self, item: Item) -> AbstractContextManager[Iterator[Frame]]:
        """Open an item's frames from the start; every policy watches them anew."""

    def damage(self, item: Item) -> str:
        """What has been lost so far of the item's video, in a line; empty: nothing."""
        return ""

    def prompt(self, asked: Asked) -> str:
        """The question as the model is given it."""
        return asked.text

    @abstractmethod
    def correct(self, asked: Asked, reply: str) -> bool:
        """Whether a reply is right."""

    def follow_up(self, asked: Asked, reply: str) -> str | None:
        """What is asked at once behind a reply, of the same memory; None: nothing."""
        return None

    def settled(self, records: Sequence[Record]) -> list[Record]:
        """All that came of one item, polls of one question put together."""
        return list(records)

    def parsed(self, asked: Asked, reply: str) -> bool:
        """Whether an answer could be read out of a reply, right or wrong; a benchmark of free text always can."""
        return True
