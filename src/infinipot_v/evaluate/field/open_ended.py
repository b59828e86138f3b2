"""What the judged sets share: free answers to questions in the course of a video, and a judge's yes or no."""

from __future__ import annotations

from collections.abc import Sequence

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import FieldBenchmark, mean, percent
from infinipot_v.evaluate.records import Record

PROMPT = "{}"
"""Nothing is added to the question."""


class OpenEnded(FieldBenchmark):
    """A benchmark whose replies are judged; until then none counts as right."""

    streaming = True
    judged = True

    def correct(self, asked: Asked, reply: str) -> bool:
        """Only a judge can say."""
        return False

    def parsed(self, asked: Asked, reply: str) -> bool:
        """Whether anything was said."""
        return bool(reply.strip())

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """Share of yes, and mean score of 0 to 5, over what a judge has given a readable verdict on."""
        judged = [record for record in records if record.verdict in ("yes", "no")]
        return {
            "accuracy": percent(judged),
            "score (0 to 5)": mean(record.score for record in judged),
            "judged": float(len(judged)),
            "verdicts that cannot be read": float(sum(record.verdict == "unreadable" for record in records)),
            "not judged": float(sum(record.verdict == "" for record in records)),
        }
