"""MLVU (arXiv 2406.04264), dev split, multiple choice: seven tasks, three minutes to nine hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import FieldBenchmark, Pair, by_kind, mean, percent
from infinipot_v.evaluate.field.letters import LETTERS
from infinipot_v.evaluate.records import Record

TASKS = ("plotQA", "needle", "ego", "count", "order", "anomaly_reco", "topic_reasoning")
QUESTION = """Question: {}
Options:
{}
Only give the best option.
Best option: ("""
"""The official run writes the last line into the model's mouth; as part of the question (so lmms-eval has it) every
chat template takes it."""
SYSTEM = (
    "Carefully watch this video and pay attention to every detail. Based on your observations, select the best option "
    "that accurately addresses the question."
)


class MLVU(FieldBenchmark):
    """2,175 questions. The kind is the file's task: needle records call themselves findNeedle."""

    name = "mlvu"
    layout: ClassVar[str] = "json/<n>_<task>.json and video/<n>_<task>/<video>.mp4"
    annotations: ClassVar[tuple[str, ...]] = (
        "|".join(f"{folder}{n}_{task}.json" for folder in ("json/", "data/", "") for n, task in enumerate(TASKS, 1)),
    )

    def records(self) -> Iterable[tuple[str, Any]]:
        """Questions by file and place; files of tasks that are not there are left out by name."""
        folder = self._files[0].parent
        self._files = []
        for number, task in enumerate(TASKS, 1):
            path = folder / f"{number}_{task}.json"
            if not path.is_file():
                self.leave_file(path)
                continue
            self._files.append(path)
            for index, (name, row) in enumerate(self.rows(len(self._files) - 1)):
                yield f"{path.name} {name}", (number, task, index, row)

    def pairs(self, record: Any) -> Iterable[Pair]:
        """One question; of equal candidates the last is the right one, as in the official scorer."""
        number, task, index, row = record
        names = [f"video/{folder}/{row['video']}" for folder in (f"{number}_{task}", task)]
        options = tuple(row["candidates"])
        places = [place for place, text in enumerate(options) if text == row["answer"]]
        # Two needle answers are none of their candidates: nothing can be right there, which the official run counts.
        answer = LETTERS[places[-1]] if places else "@"
        asked = Asked(row["question"], answer, task, options=options, identity=f"{task} {index}")
        return [(self.clip(*names), asked)]

    def prompt(self, asked: Asked) -> str:
        """The official wording."""
        options = "\n".join(f"({letter}) {text}" for letter, text in zip(LETTERS, asked.options, strict=False))
        return QUESTION.format(asked.text, options)

    def correct(self, asked: Asked, reply: str) -> bool:
        """The character before the first `)`; without one, the whole reply is the letter."""
        return said(reply) == asked.answer

    def parsed(self, asked: Asked, reply: str) -> bool:
        """Whether that is a letter of an option."""
        return bool(said(reply)) and said(reply) in LETTERS[: len(asked.options)]

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """M-Avg, the macro mean of tasks; other papers print the micro mean under the same name."""
        tasks = by_kind(records)
        return {**tasks, "M-Avg (macro)": mean(tasks.values()), "micro": percent(records)}


def said(reply: str) -> str:
    """The official reading of a reply."""
    before, closed, _ = reply.partition(")")
    return before[-1:] if closed else reply
