"""ProReady-QA (StreamReady, arXiv 2603.08620): was the answer given when its evidence was there, not sooner, not later?

There is no public data: the records are a form of our own, marked so, and no number from here compares with the paper.
A question is polled every `every` seconds from when it is asked; the first yes is followed by the question itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import FieldBenchmark, Pair, mean, percent
from infinipot_v.evaluate.field.letters import lettered, said_letter
from infinipot_v.evaluate.field.polling import together
from infinipot_v.evaluate.records import Record

TASKS = ("SSR", "REC", "CRR", "CTD", "GSD")
READY = "{}\nDoes the video so far show enough to answer this? Answer Yes or No only."
ANSWER = "{}\n{}\nAnswer with the option's letter from the given choices directly."
EPSILON = 1e-6
BEHIND = 4
"""Polls that come behind the end of the evidence."""


def readiness(answered: float, begin: float, end: float, tau: float) -> float:
    """EP x LP of one answer at `answered` seconds, whose evidence lies from `begin` to `end`; in [0, 1].

    EP = min(1, 2 sigmoid(6 (ta - ts) / (tau + eps))), LP = min(1, max(0, 1 - (ta - te) / (tau + eps))): too early costs
    steeply, too late linearly. `tau` is the median length of evidence of the set. (The paper's softmin and softmax are
    read as hard bounds.)
    """
    early = min(1.0, 2 / (1 + math.exp(min(700.0, -6 * (answered - begin) / (tau + EPSILON)))))
    late = min(1.0, max(0.0, 1 - (answered - end) / (tau + EPSILON)))
    return early * late


class ProReadyQA(FieldBenchmark):
    """Records of our own: `{"video", "task", "question", "options", "answer", "asked", "evidence": [ts, te]}`."""

    name = "proready-qa"
    streaming = True
    layout: ClassVar[str] = "proready.json (our own form of record: see docs/benchmarks.md) and videos/<video>"
    annotations: ClassVar[tuple[str, ...]] = ("proready.json",)
    every: ClassVar[float] = 1.0

    def records(self) -> Iterable[tuple[str, Any]]:
        """Records by their place."""
        return ((name, (index, one)) for index, (name, one) in enumerate(self.rows()))

    def pairs(self, record: Any) -> Iterable[Pair]:
        """The polls of one question."""
        index, one = record
        if one["task"] not in TASKS:
            raise ValueError(f"task {one['task']!r}")
        begin, end = (float(value) for value in one["evidence"])
        first = float(one["asked"])
        if not first <= begin <= end:
            raise ValueError(f"evidence {begin:g} to {end:g} of a question asked at {first:g}")
        polls = int((end - first) / self.every) + BEHIND
        clip = self.clip(f"videos/{one['video']}", one["video"])
        window = f"{begin:g} {end:g}"
        return [
            (clip, Asked(one["question"], one["answer"], one["task"], first + number * self.every, truth=begin,
                         series=f"{index}", yes_no=True, options=tuple(one["options"]), identity=f"{index}",
                         context=window, delay=end - begin))
            for number in range(1, polls + 1)
        ]  # fmt: skip

    def prompt(self, asked: Asked) -> str:
        """Whether it can be answered."""
        return READY.format(asked.text)

    def follow_up(self, asked: Asked, reply: str) -> str | None:
        """Behind a yes the question itself."""
        return ANSWER.format(asked.text, "\n".join(lettered(asked.options))) if "yes" in reply.lower() else None

    def correct(self, asked: Asked, reply: str) -> bool:
        """What a poll is worth, `settled` says."""
        return False

    def settled(self, records: Sequence[Record]) -> list[Record]:
        """One record a question: of the first yes, or of the last poll, which counts as never answered."""
        return [_decided(record) for record in together(records)]

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """Accuracy, ARS in percent, their product, and the mean of products, which is not the same."""
        tau = median(record.delay for record in records) if records else 0.0
        worth = [_worth(record, tau) for record in records]
        accuracy, ars = percent(records), mean(100 * one for one in worth)
        together = mean(100 * one * record.correct for one, record in zip(worth, records, strict=True))
        effective = None if accuracy is None or ars is None else accuracy * ars / 100
        return {"accuracy": accuracy, "ARS": ars, "Acc x ARS": effective, "mean of Acc x ARS": together}


def _decided(record: Record) -> Record:
    return replace(record, correct=record.follow_up is not None and said_letter(record.follow_up, 26) == record.answer)


def _worth(record: Record, tau: float) -> float:
    """An answer that was never given is worth nothing."""
    if record.follow_up is None or record.at is None or record.truth is None:
        return 0.0
    return readiness(record.at, record.truth, record.truth + record.delay, tau)
