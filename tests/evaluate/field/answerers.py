"""Answerers that know the truth, and say it or never do: what a benchmark must score 100 and 0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from infinipot_v.evaluate.base import Asked, Benchmark, Item, Manner
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.models.base import Model
from infinipot_v.types import Answer, Frame

LETTERS = "ABCDEFGHIJ"


class Knowing:
    """Answers the questions of one item in their order; `right` says whether truly."""

    held_tokens, seen_tokens, nbytes = 3, 5, 7

    def __init__(self, benchmark: Benchmark, item: Item, right: bool) -> None:
        self.benchmark, self.right = benchmark, right
        self.coming: Iterator[Asked] = iter(item.questions)
        self.asked: Asked | None = None
        self.seen: list[float] = []

    def watch(self, frames: Iterable[Frame]) -> None:
        self.seen += [frame.seconds for frame in frames]

    def ask(self, prompt: str) -> Answer:
        if self.asked is not None and prompt == self.benchmark.follow_up(self.asked, "yes"):
            text = self.asked.answer if self.right else "something else"
        else:
            self.asked = next(self.coming)
            assert prompt == self.benchmark.prompt(self.asked)
            assert self.seen and (self.asked.at is None or self.seen[-1] < self.asked.at)
            text = self._reply(self.asked)
        return Answer(prompt, text, 1, 0.01, 0.02, "stop")

    def _reply(self, asked: Asked) -> str:
        if asked.truth is not None:  # a standing question: yes from the truth on; much too early, or never
            if not self.right:
                return "no" if asked.options else "yes"
            return "yes" if (asked.at or 0) >= asked.truth else "no"
        if self.right:
            return asked.answer
        if asked.options:
            return LETTERS[(LETTERS.index(asked.answer) + 1) % len(asked.options)]
        if asked.yes_no:
            return {"Yes": "No", "No": "Yes"}[asked.answer]
        return "12345"

    def chance(self, question: str) -> float | None:
        return 0.5


@dataclass(frozen=True)
class Answerer(Contender):
    """Takes part in place of a policy."""

    benchmark: Benchmark | None = None
    right: bool = True

    def watcher(self, model: Model, item: Item, manner: Manner) -> Knowing:  # type: ignore[override]
        assert self.benchmark is not None
        return Knowing(self.benchmark, item, self.right)
