"""Video-MME (arXiv 2405.21075): 2,700 four-way questions about 900 videos, short, medium and long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked, BrokenVideo, Item
from infinipot_v.evaluate.field.base import FieldBenchmark, Pair, percent
from infinipot_v.evaluate.field.letters import letter_of, lettered
from infinipot_v.evaluate.records import Record
from infinipot_v.sources.captions import Cue
from infinipot_v.types import UserError

DURATIONS = ("short", "medium", "long")
CHOICE = """Select the best answer to the following multiple-choice question based on the video{}. Respond with only \
the letter (A, B, C, or D) of the correct option.
{}
{}
The best answer is:"""
PHRASES = (
    "The best answer is", "The correct answer is", "The answer is", "The answer",
    "The best option isThe correct option is", "Best answer:Best option:", "Answer:", "Option:",
)  # fmt: skip
"""What the official scorer takes out of a reply. (Two pairs lack a comma there, and so take out nothing.)"""


class VideoMME(FieldBenchmark):
    """`videoID` names the file; `video_id` is a number of the benchmark's own.

    Departure: officially subtitles are listed before the question; here each is said when it is (see `captioned`).
    """

    name = "videomme"
    subtitles: ClassVar[str] = "subtitle"
    layout: ClassVar[str] = "videomme/test-*.parquet (or test.json) and data/<videoID>.mp4"
    annotations: ClassVar[tuple[str, ...]] = (
        "videomme/test*.parquet|test*.parquet|data/test*.parquet|*.parquet|videomme/test.json|test.json|*.jsonl",
    )

    def records(self) -> Iterable[tuple[str, Any]]:
        """Questions, by their id."""
        return self.rows(key="question_id", what="question")

    def pairs(self, record: Any) -> Iterable[Pair]:
        """One question."""
        video, options = record["videoID"], tuple(record["options"])
        names = [f"{folder}{video}{end}" for folder in ("data/", "videos/", "") for end in (".mp4", ".MP4", ".mkv")]
        asked = Asked(
            record["question"], letter_of(record["answer"], options), record["task_type"], group=record["duration"],
            options=options, identity=record["question_id"],
        )  # fmt: skip
        return [(self.clip(*names), asked)]

    def prompt(self, asked: Asked) -> str:
        """The official wording, of its two tracks: with subtitles and without."""
        heard = " and the subtitles" if self.recipe.text_tokens else ""
        return CHOICE.format(heard, asked.text, "\n".join(lettered(asked.options)))

    def cues(self, item: Item) -> list[Cue]:
        """Of `subtitle/<videoID>.srt`; some videos have none. Raises `UserError` where no video has."""
        from infinipot_v.sources.cues import read_cues

        folder = self.data / self.subtitles
        if not folder.is_dir():
            raise UserError(f"{folder} is missing: unpack subtitle.zip there, or take a recipe without subtitles")
        path = folder / f"{self.clip_of(item).path.stem}.srt"
        try:
            return read_cues(path) if path.exists() and path.stat().st_size else []
        except UserError as error:
            raise BrokenVideo(str(error)) from error

    def correct(self, asked: Asked, reply: str) -> bool:
        """The first capital A to D, whatever word it is in, behind some phrases are taken out."""
        return extracted(reply) == asked.answer

    def parsed(self, asked: Asked, reply: str) -> bool:
        """Whether there is such a letter."""
        return bool(extracted(reply))

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """By duration and in all, micro. The official script leaves out what cannot be parsed; that is given, too."""
        found = {name: percent([record for record in records if record.group == name]) for name in DURATIONS}
        answered = [record for record in records if record.parsed]
        return {**found, "overall": percent(records), "overall, of parsed replies only": percent(answered)}


def extracted(reply: str) -> str:
    """The official reading of a reply; empty where there is none."""
    reply = reply.strip()
    for phrase in PHRASES:
        reply = reply.replace(phrase, "")
    found = re.search(r"[ABCD]", reply)
    return found[0] if found else ""
