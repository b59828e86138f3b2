"""What a benchmark is: items with frames and timed questions, a prompt, a score. One file each beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from infinipot_v.types import Frame


@dataclass(frozen=True)
class Asked:
    """One question of an item. `at` is when the stream must have come to (seconds), None: at its end.

    `kind` and `delay` (seconds since the evidence left the picture) are what results are broken down by.
    """

    text: str
    answer: str
    kind: str
    at: float | None = None
    delay: float = 0.0


@dataclass(frozen=True)
class Item:
    """One stream and its questions, in the order in which they are asked.

    `tokens` is what a full cache would hold at its end, `step_tokens` what one step takes; `seconds` is its length.
    """

    name: str
    tokens: int
    step_tokens: int
    questions: tuple[Asked, ...]
    seconds: float = 0.0


class Benchmark(ABC):
    """Items, prompt, score. `settings` are everything that a result depends on beside model and policy."""

    name: str
    room: int = 512
    """Slots beside |M| for one question and its answer (`Budget.room`)."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, object]:
        """JSON-able; a run refuses to resume when they differ."""

    @abstractmethod
    def items(self) -> Iterable[Item]:
        """All items, in a fixed order."""

    @abstractmethod
    def frames(self, item: Item) -> AbstractContextManager[Iterator[Frame]]:
        """Open an item's frames from the start; every policy watches them anew."""

    def prompt(self, asked: Asked) -> str:
        """The question as the model is given it."""
        return asked.text

    @abstractmethod
    def correct(self, asked: Asked, reply: str) -> bool:
        """Whether a reply is right."""
