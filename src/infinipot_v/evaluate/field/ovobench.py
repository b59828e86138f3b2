"""OVO-Bench (arXiv 2501.05510): looking back, at what is there, and forward, at a time of the stream.

The official run cuts every query a clip of its own, up to the next whole second. Here the stream is watched once and
asked when it comes to the query's time, so nothing behind that is seen; probes of one video are put in order of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import FieldBenchmark, Pair, by_kind, mean
from infinipot_v.evaluate.field.letters import LETTERS, said_letter
from infinipot_v.evaluate.records import Record

REGIMES = {
    "backward": ("EPM", "ASI", "HLD"),
    "real-time": ("OCR", "ACR", "ATR", "STU", "FPD", "OJR"),
    "forward": ("REC", "SSR", "CRR"),
}
CHOICE = """
Question: {}
Options:
{}

Respond only with the letter corresponding to your chosen option (e.g., A, B, C). \n\
Do not include any additional text or explanation in your response.
"""
FORWARD = {
    "REC": """
You're watching a video in which people may perform a certain type of action repetively. \n\
The person performing this kind of action are referred to as 'they' in the following statement.
You're task is to count how many times have different people in the video perform this kind of action in total.
One complete motion counts as one. \n\
Now, answer the following question: {}
Provide your answer as a single number (e.g., 0, 1, 2, 3…) indicating the total count.
Do not include any additional text or explanation in your response.
""",
    "SSR": """
You're watching a tutorial video which contain a sequential of steps. \n\
The following is one step from the whole procedures: \n\
{}
Your task is to determine if the man or woman in the video is currently performing this step.
Answer only with “Yes” or “No”.
Do not include any additional text or explanation in your response.
""",
    "CRR": """
You're responsible of answering questions based on the video content. \n\
The following question are relevant to the latest frames, i.e. the end of the video.
{}
Decide whether existing visual content, especially latest frames, i.e. frames that near the end of the video, provide \
enough information for answering the question.
Answer only with “Yes” or “No”.
Do not include any additional text or explanation in your response.
""",
}


SIMPLESTREAM = {
    "choice": "{}\nOptions: {}\nOnly give the best option's letter directly.",
    "REC": "{}\nOnly give a number as answer.",
    "SSR": "Is this person performing the tutorial step: {}\nAnswer Yes or No only.",
    "CRR": "{}\nIs there enough information in the provided video to answer the question? Answer Yes or No only.",
}
"""The wording of SimpleStream (arXiv 2604.02317), which is not the official one."""


class OVOBench(FieldBenchmark):
    """1,640 records over 644 videos, 3,035 queries."""

    name = "ovobench"
    streaming = True
    layout: ClassVar[str] = "ovo_bench_new.json and src_videos/<source>/<video>.mp4"
    annotations: ClassVar[tuple[str, ...]] = ("ovo_bench_new.json|data/ovo_bench_new.json",)

    def records(self) -> Iterable[tuple[str, Any]]:
        """Records by their `id`."""
        return self.rows()

    def pairs(self, record: Any) -> Iterable[Pair]:
        """One query, or the probes of a forward record."""
        video, task = record["video"], record["task"]
        clip = self.clip(f"src_videos/{video}", f"data/src_videos/{video}", f"videos/{video}", video)
        group = next((regime for regime, tasks in REGIMES.items() if task in tasks), None)
        if group is None:
            raise ValueError(f"task {task!r}")
        if group != "forward":
            options = tuple(record["options"])
            asked = Asked(
                record["question"], LETTERS[range(len(options))[record["gt"]]], task, _time(record), group=group,
                options=options, identity=f"{record['id']}",
            )  # fmt: skip
            return [(clip, asked)]
        return [(clip, self._probe(record, index, probe)) for index, probe in enumerate(record["test_info"])]

    def _probe(self, record: Any, index: int, probe: Any) -> Asked:
        """The count, the step or the question that is asked again and again."""
        task, identity = record["task"], f"{record['id']}_{index}"
        series, at = f"{record['id']}", _time(probe)
        if task == "REC":
            text = f"How many times did they {record['activity']}?"
            return Asked(text, f"{int(probe['count'])}", task, at, group="forward", series=series, identity=identity)
        text = probe["step"] if task == "SSR" else record["question"]
        answer = ("No", "Yes")[int(probe["type"])]
        return Asked(text, answer, task, at, group="forward", series=series, yes_no=True, identity=identity)

    def prompt(self, asked: Asked) -> str:
        """The wording of the task, official or as the recipe says."""
        wording = SIMPLESTREAM if self.recipe.prompt == "simplestream" else {**FORWARD, "choice": CHOICE}
        if asked.kind in FORWARD:
            return wording[asked.kind].format(asked.text)
        options = "; ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, asked.options, strict=False))
        return wording["choice"].format(asked.text, f"{options};")

    def correct(self, asked: Asked, reply: str) -> bool:
        """The official substrings, letter case and all: "Answer: B" counts as A too, "no" does not count as No.

        Of a count all digits of the reply are read as one number; "Y" and "N" alone are yes and no.
        """
        if asked.kind == "REC":
            return "".join(re.findall(r"\d+", reply)) == asked.answer
        return asked.answer in reply or (asked.yes_no and reply == asked.answer[0])

    def parsed(self, asked: Asked, reply: str) -> bool:
        """A letter, a number, or yes or no."""
        if asked.kind == "REC":
            return bool(re.search(r"\d", reply))
        if asked.yes_no:
            return bool(re.search(r"\b(yes|no|y|n)\b", reply, re.IGNORECASE))
        return said_letter(reply, len(asked.options)) is not None

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """Micro in a task, macro over tasks; both averages in use: of three regimes, and of the first two."""
        tasks = by_kind(records)
        regimes = {name: mean(tasks.get(task) for task in own) for name, own in REGIMES.items()}
        two = [regimes["backward"], regimes["real-time"]]
        constant = [record.answer == "Yes" for record in records if record.kind in ("SSR", "CRR")]
        return {
            **tasks,
            **regimes,
            "average of three regimes": None if None in regimes.values() else mean(regimes.values()),
            "(real-time + backward) / 2": None if None in two else mean(two),
            "a constant Yes, SSR and CRR": 100 * sum(constant) / len(constant) if constant else None,
        }


def _time(record: Any) -> float:
    """Seconds; a query in the very first moment sees the first frame."""
    return max(0.1, float(record["realtime"]))
