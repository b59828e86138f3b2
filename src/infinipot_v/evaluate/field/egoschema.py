"""EgoSchema (arXiv 2308.09126): five-way questions about three minutes; 500 have public answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import FieldBenchmark, Pair, percent
from infinipot_v.evaluate.field.letters import LETTERS, lettered, said_letter
from infinipot_v.evaluate.records import Record
from infinipot_v.types import UserError

CHOICE = """{}
{}
Answer with the option's letter from the given choices directly."""
"""There is no official wording; this is lmms-eval's."""
SUBSET, REST = "subset", "without a public answer"


class EgoSchema(FieldBenchmark):
    """The subset is scored; of all 5,031 a file for the official server is made (`submission`)."""

    name = "egoschema"
    layout: ClassVar[str] = "questions.json, subset_answers.json and videos/<q_uid>.mp4"
    annotations: ClassVar[tuple[str, ...]] = ("questions.json", "subset_answers.json")

    def records(self) -> Iterable[tuple[str, Any]]:
        """Questions by their id; those with a public answer come first."""
        answers = self.content(1)
        if not isinstance(answers, dict):
            raise UserError(f"{self._files[1]} has no answers by question: download it again")
        return sorted(self.rows(key="q_uid", what="question"), key=lambda pair: pair[0].split()[-1] not in answers)

    def pairs(self, record: Any) -> Iterable[Pair]:
        """One question; those without a public answer only if the recipe asks for all."""
        uid = record["q_uid"]
        options = tuple(record[f"option {index}"] for index in range(5))
        place = self.content(1).get(uid)
        if place is None and not self.recipe.everything:
            return []
        answer, group = ("", REST) if place is None else (LETTERS[range(5)[place]], SUBSET)
        asked = Asked(record["question"], answer, group, group=group, options=options, identity=uid)
        return [(self.clip(f"videos/{uid}.mp4", f"videos/{uid}.MP4", f"{uid}.mp4"), asked)]

    def prompt(self, asked: Asked) -> str:
        """Question, options, and to answer with a letter."""
        return CHOICE.format(asked.text, "\n".join(lettered(asked.options)))

    def correct(self, asked: Asked, reply: str) -> bool:
        """The letter; where none can be read it is wrong. (lmms-eval guesses one, which is a fifth for nothing.)"""
        return bool(asked.answer) and said_letter(reply, 5) == asked.answer

    def parsed(self, asked: Asked, reply: str) -> bool:
        """Whether a letter can be read."""
        return said_letter(reply, 5) is not None

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """Exact match on the subset."""
        return {"subset": percent([record for record in records if record.group == SUBSET])}

    @classmethod
    def submission(cls, records: Sequence[Record]) -> dict[str, int] | None:
        """`{q_uid: option}` as the official server takes it, of a run of all; 0 where nothing could be read."""
        if all(record.group == SUBSET for record in records):
            return None
        letters = {record.identity: said_letter(record.reply, 5) for record in records}
        return {uid: LETTERS.index(letter or "A") for uid, letter in letters.items()}
