"""LongVideoBench (arXiv 2407.15754), validation: questions that refer to moments, up to an hour."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked, BrokenVideo, Item
from infinipot_v.evaluate.field.base import FieldBenchmark, Pair, percent
from infinipot_v.evaluate.field.letters import letter_of, lettered
from infinipot_v.evaluate.field.recipes import Recipe
from infinipot_v.evaluate.field.tables import content_of
from infinipot_v.evaluate.records import Record
from infinipot_v.sources.captions import Cue

CHOICE = """Question: {}
{}
Answer with the option's letter from the given choices directly."""
PHRASES = (
    "The best answer is", "The correct answer is", "The answer is", "The answer", "The best option is",
    "The correct option is", "Best answer:", "Best option:",
)  # fmt: skip

STRANGE = (OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a file of subtitles may raise that is none."""


class LongVideoBench(FieldBenchmark):
    """1,337 questions; the kind is the category, the group the bin of the video's length in seconds."""

    name = "longvideobench"
    subtitles: ClassVar[str] = "subtitles"
    layout: ClassVar[str] = "lvb_val.json and videos/<video>.mp4"
    annotations: ClassVar[tuple[str, ...]] = ("lvb_val.json",)

    def __init__(self, data: Path, recipe: Recipe, **options: Any) -> None:
        self._subtitles: dict[str, tuple[str, float]] = {}
        super().__init__(data, recipe, **options)

    def records(self) -> Iterable[tuple[str, Any]]:
        """Questions by their id."""
        return self.rows(what="question")

    def pairs(self, record: Any) -> Iterable[Pair]:
        """One question."""
        options = tuple(text for text in record["candidates"] if text != "N/A")
        asked = Asked(
            record["question"], letter_of(int(record["correct_choice"]), options), record["question_category"],
            group=f"{record['duration_group']} s", options=options, identity=record["id"],
        )  # fmt: skip
        clip = self.clip(f"videos/{record['video_path']}", record["video_path"])
        if self.recipe.text_tokens:
            self._subtitles[clip.name] = record["subtitle_path"], float(record["starting_timestamp_for_subtitles"])
        return [(clip, asked)]

    def cues(self, item: Item) -> list[Cue]:
        """Of `subtitles/<subtitle_path>`, moved by the record's own offset."""
        name, start = self._subtitles[item.name]
        path = self.data / self.subtitles / name
        try:
            return [cue for row in content_of(path) if (cue := _cue(row, start, item.seconds))]
        except STRANGE as error:
            raise BrokenVideo(f"the subtitles {path.name} cannot be read ({error})") from error

    def prompt(self, asked: Asked) -> str:
        """The official last lines; frames and subtitles come before them as a stream."""
        return CHOICE.format(asked.text, "\n".join(lettered(asked.options)))

    def correct(self, asked: Asked, reply: str) -> bool:
        """The first capital A to E, whatever word it is in: "Answer: B" is A. Without one it is wrong, not guessed."""
        return extracted(reply) == asked.answer

    def parsed(self, asked: Asked, reply: str) -> bool:
        """Whether there is such a letter."""
        return bool(extracted(reply))

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """By length and in all, micro."""
        groups = sorted({record.group for record in records}, key=lambda group: float(group.split()[0]))
        found = {group: percent([record for record in records if record.group == group]) for group in groups}
        return {**found, "overall": percent(records)}


def _cue(row: Mapping[str, Any], offset: float, duration: float) -> Cue | None:
    """One line of either form: `start`, `end` as HH:MM:SS and `line`, or `timestamp` in seconds and `text`.

    None for one of no length. An end that is no number is the video's; officially `duration` less the offset.
    """
    if "timestamp" in row:
        start, end = row["timestamp"]
        end = end if isinstance(end, float) else duration + offset
    else:
        start, end = _seconds(row["start"]), _seconds(row["end"])
    text = row["text"] if "timestamp" in row else row["line"]
    if not (isinstance(text, str) and math.isfinite(start) and math.isfinite(end)):
        raise TypeError(f"{row} is no line")
    return Cue(start - offset, end - offset, text.encode(errors="replace").decode()) if end > start else None


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def extracted(reply: str) -> str:
    """The official reading of a reply; empty where there is none."""
    reply = reply.strip()
    for phrase in PHRASES:
        reply = reply.replace(phrase, "")
    found = re.search(r"[ABCDE]", reply)
    return found[0] if found else ""
