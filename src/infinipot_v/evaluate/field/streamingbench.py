"""StreamingBench (arXiv 2411.03628): real-time, omni-source, sequential and proactive questions about a running stream.

The official run cuts a clip a question: of the last 60 s ("Main") or of everything. Here everything is watched once and
stays in the memory, which compares with the latter. Proactive questions are polled every second from the second behind
the question to four behind the truth, as published; there, too, the memory has seen what came before the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import FieldBenchmark, Pair, by_kind, percent
from infinipot_v.evaluate.field.letters import lettered, said_letter
from infinipot_v.evaluate.field.polling import together
from infinipot_v.evaluate.field.times import seconds_of
from infinipot_v.evaluate.records import Record

SUBSETS = ("real", "omni", "sqa", "proactive")
CHOICE = """You are an advanced video question-answering AI assistant. You have been provided with some frames from \
the video and a multiple-choice question related to the video. Your task is to carefully analyze the video and provide \
the best answer to question, choosing from the four options provided. Respond with only the letter (A, B, C, or D) of \
the correct option.

Question: {question}

Options:
{options}

The best option is:"""
SEQUENTIAL = """You are an advanced video question-answering AI assistant. You have been provided with a video and a \
multiple-choice question related to the video. Your task is to carefully analyze the video and the provided context to \
answer the question, choosing from the four options provided. Respond with only the letter (A, B, C, or D) of the \
correct option.

{context}

Here is the question. Answer it and don't confuse it with the previous conversation.
Question: {question}

Options:
{options}

The best option is:"""
SIMPLESTREAM = """You are an advanced video question-answering AI assistant. You have been provided with some frames \
from the video and a multiple-choice question. Your task is to analyze the video and provide the best answer.

Question: {question}

Options:
{options}

Only give the best option's letter (A, B, C, or D) directly."""
"""The wording of SimpleStream (arXiv 2604.02317) for the real-time questions."""
EARLIER = "Here are the contextual information related to the video. Please answer the questions based on the \
contextual information: "
PROACTIVE = """You are an advanced image question-answering AI assistant. You have been provided with images and a \
question related to the images. Your task is to carefully analyze the images and provide the answer to the question. \
You need to carefully confirm whether the images content meet the conditions of the question, and then output the \
correct content.

Question: {}

The answer is:
"""
POLL = '{} Is it the right time to output "{}"? You can only answer yes or no.'
WINDOW = 2.0
"""Seconds before and behind the truth within which a yes is in time."""
POLLED_BEHIND = 4
"""Seconds behind the truth at which polling ends."""


class StreamingBench(FieldBenchmark):
    """4,500 questions over 900 videos, in four files; those that are there are read."""

    name = "streamingbench"
    streaming = True
    layout: ClassVar[str] = "questions_{real,omni,sqa,proactive}.json and videos/sample_<n>_<kind>.mp4"
    annotations: ClassVar[tuple[str, ...]] = (
        "|".join(f"{folder}questions_{subset}.json" for folder in ("", "src/data/", "data/") for subset in SUBSETS),
    )

    def records(self) -> Iterable[tuple[str, Any]]:
        """Windows of the annotators, by subset and number; sequential ones lie in a list a video."""
        folder = self._files[0].parent
        self._files = [path for subset in SUBSETS if (path := folder / f"questions_{subset}.json").is_file()]
        for index, path in enumerate(self._files):
            subset = path.stem.removeprefix("questions_")
            number = 0
            for _, entry in self.rows(index):
                group = entry if isinstance(entry, list) else [entry]
                earlier: list[Any] = []
                for record in group:
                    number += 1
                    yield f"{subset} record {number}", (subset, number, record, earlier)

    def pairs(self, record: Any) -> Iterable[Pair]:
        """The questions of one window; the window itself bounds nothing."""
        subset, number, window, earlier = record
        name = PurePosixPath(window["video_path"].replace("\\", "/")).name
        clip = self.clip(f"videos/{name}", f"src/data/videos/{name}", f"data/videos/{name}", name)
        pairs: list[Pair] = []
        for index, question in enumerate(window["questions"]):
            identity = f"{subset} {number}.{index}"
            asked = _proactive if subset == "proactive" else _choice
            pairs += [(clip, one) for one in asked(question, subset, identity, earlier)]
        return pairs

    def prompt(self, asked: Asked) -> str:
        """The official wording. Four options are shown, and lettered where the first is not."""
        if asked.group == "proactive":
            return PROACTIVE.format(POLL.format(asked.text, asked.answer))
        wording = SEQUENTIAL if asked.group == "sqa" else CHOICE
        if asked.group == "real" and self.recipe.prompt == "simplestream":
            wording = SIMPLESTREAM
        return wording.format(question=asked.text, options="\n".join(asked.options), context=asked.context)

    def follow_up(self, asked: Asked, reply: str) -> str | None:
        """Behind a yes the bare question."""
        return PROACTIVE.format(asked.text) if asked.group == "proactive" and "yes" in reply.lower() else None

    def correct(self, asked: Asked, reply: str) -> bool:
        """The first character of the reply, as it stands. (A poll is right by what `settled` makes of it.)"""
        return asked.group != "proactive" and reply[:1] == asked.answer

    def parsed(self, asked: Asked, reply: str) -> bool:
        """A letter in the first place; yes or no anywhere."""
        if asked.group == "proactive":
            return "yes" in reply.lower() or "no" in reply.lower()
        return said_letter(reply[:1], 4) is not None

    def settled(self, records: Sequence[Record]) -> list[Record]:
        """Polls of one question become one record, whose `at` is that of the first yes, or of the last poll."""
        return [_decided(record) if record.series else record for record in together(records)]

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """By task and by subset. Of proactive questions: in time, and in time with the right output."""
        proactive = [record for record in records if record.group == "proactive"]
        found: dict[str, float | None] = by_kind([record for record in records if record.group != "proactive"])
        for subset in SUBSETS[:3]:
            found[f"{subset}, all"] = percent([record for record in records if record.group == subset])
        in_time = [in_window(record) for record in proactive]
        found["proactive, in time"] = 100 * sum(in_time) / len(in_time) if in_time else None
        found["proactive, right"] = percent(proactive)
        return found


def _choice(question: Any, subset: str, identity: str, earlier: list[Any]) -> list[Asked]:
    """Earlier questions of the same video are told with the true answers; so published."""
    options = tuple(lettered(question["options"][:4]))
    told = "; ".join(
        f"At timestamp {one['time_stamp']}, the following question and answer occurred: Question: {one['question']}; "
        f"Options: {', '.join(lettered(one['options'][:4]))}; Answer: {one['answer']}"
        for one in earlier
    )
    asked = Asked(
        question["question"], question["answer"], question["task_type"], max(0.1, seconds_of(question["time_stamp"])),
        group=subset, options=options, identity=identity, context=f"{EARLIER}{told}" if told else "",
    )  # fmt: skip
    if subset == "sqa":
        earlier.append(question)
    return [asked]


def _proactive(question: Any, subset: str, identity: str, earlier: list[Any]) -> list[Asked]:
    begin, truth = seconds_of(question["time_stamp"]), seconds_of(question["ground_truth_time_stamp"])
    return [
        Asked(
            question["question"],
            question["ground_truth_output"],
            question["task_type"],
            float(second),
            group=subset,
            series=identity,
            yes_no=True,
            identity=identity,
            truth=truth,
        )
        for second in range(int(begin) + 1, int(truth) + POLLED_BEHIND + 1)
    ]


def _decided(record: Record) -> Record:
    """Right is a yes in time, with the output in the reply behind it."""
    return replace(record, correct=in_window(record) and record.answer in (record.follow_up or ""))


def in_window(record: Record) -> bool:
    """Whether a proactive question was answered in time; the window is inclusive on both sides."""
    if record.follow_up is None or record.at is None or record.truth is None:
        return False
    return abs(record.at - record.truth) <= WINDOW
