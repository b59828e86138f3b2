"""`infinipot-v ask VIDEO "question" ["follow-up" ...]`: watch a video in fixed memory, and answer, also on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infinipot_v.cli.app import PAIR
from infinipot_v.cli.losses import note_losses
from infinipot_v.cli.options import Answers, Checkpoint, Footage, Json, Memory
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.session import Session
    from infinipot_v.sources import Source
    from infinipot_v.types import Answer, Frame

EXAMPLES = """
Examples:
  infinipot-v ask kitchen.mp4 "What is on the table?" --model FOLDER
  infinipot-v ask day1.mp4 --then day2.mp4 "Who came back?" --budget 512MiB ...
  infinipot-v ask day.ivm.safetensors "When did she leave?"
  infinipot-v ask kitchen.mp4 --ask-at 95 "What is he holding?" "Where is it?" ...
"""


def ask(
    video: Annotated[
        Path, typer.Argument(metavar="VIDEO", help="A video file, a folder of images, an image, or a saved memory.")
    ],
    footage: Footage,
    memory: Memory,
    answers: Answers,
    checkpoint: Checkpoint,
    questions: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUESTION", help="A question, and follow-ups in the same dialogue; asked at the end."),
    ] = None,
    ask_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar=PAIR,
            help="A question for when the stream has come to this second; repeatable.",
            rich_help_panel=Answers.panel,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch VIDEO in fixed memory and answer the QUESTIONs, one dialogue; or ask a saved memory, watching nothing.

    Ctrl-C while it watches ends the watching, and the questions are answered from what was watched.
    """
    # Everything that can be wrong without the model is found before the model is loaded.
    asked = _questions(questions or [], ask_at or [])
    from infinipot_v.cli import building, reopening

    if reopening.is_memory(video):
        return _recall(video, asked, footage, memory, answers, checkpoint, as_json)
    name = building.named(checkpoint)
    limits = building.limits_of(memory, footage)
    with building.source_of(video, footage) as source:
        _check_times(asked, footage.start or 0.0, source.duration if footage.end is None else footage.end)
        model = building.model_of(checkpoint)
        session = building.session_of(model, limits, footage, memory, answers, live=source.duration is None)
        for question in asked:
            session.check_question(question.text)
        interview = Interview(session, source, quietly=as_json)
        given = [interview.answer(question) for question in asked]
        note_losses(source, session)
        if as_json:
            typer.echo(json.dumps({**interview.result(), "answers": given, "model": name, "policy": memory.policy}))


def _recall(
    path: Path,
    asked: list[Question],
    footage: Footage,
    memory: Memory,
    answers: Answers,
    checkpoint: Checkpoint,
    as_json: bool,
) -> None:
    """Ask a saved memory; its file stays as it is."""
    from infinipot_v.cli import building, reopening

    watching = [*reopening.changed(footage), *(["--ask-at"] if any(math.isfinite(one.at) for one in asked) else [])]
    if watching:
        raise UserError(f"a saved memory is asked, not watched: leave out {', '.join(watching)}")
    kept = reopening.kept(path, checkpoint, memory, answers)
    model = building.model_of(kept.checkpoint)
    session = reopening.session_of(kept, model)
    if reopening.changed(answers):
        session.decoding = building.decoding_of(answers, model)
    for question in asked:
        session.check_question(question.text)
    given = [{**asdict(say(session, question, quietly=as_json)), "at_seconds": session.newest} for question in asked]
    if as_json:
        report = asdict(session.report())
        name, policy = building.named(kept.checkpoint), report["policy"]
        typer.echo(json.dumps({"memory": report, "answers": given, "model": name, "policy": policy}))


@dataclass(frozen=True)
class Question:
    """A question, and the second of the stream at which it is asked (infinity: at its end)."""

    text: str
    at: float = math.inf


def _questions(last: list[str], timed: list[str]) -> list[Question]:
    """All questions in the order in which they are asked. Raises `UserError` for none, an empty one, and a bad time."""
    asked = sorted([_timed(text) for text in timed], key=lambda question: question.at)
    asked += [Question(text) for text in last]
    if not asked:
        raise UserError('no question was given: write one behind the video, as in "What is on the table?"')
    if any(not question.text.strip() for question in asked):
        raise UserError('a question is empty: write it in quotes, as in "What is on the table?"')
    return asked


def _timed(text: str) -> Question:
    seconds, _, question = text.strip().partition(" ")
    try:
        at = float(seconds)
        if math.isfinite(at) and at >= 0 and question.strip():
            return Question(question.strip(), at)
    except ValueError:
        pass
    raise UserError(f'cannot read --ask-at {text!r}: write seconds and a question, as in --ask-at 95 "What is it?"')


def _check_times(asked: list[Question], start: float, end: float | None) -> None:
    for question in asked:
        if question.at < start:
            raise UserError(f"--ask-at {question.at:g} lies before the start ({start:g} s): ask later")
        if end is not None and end < question.at < math.inf:
            raise UserError(f"--ask-at {question.at:g} lies behind the end of the stream ({end:.1f} s): ask earlier")


class Interview:
    """One stream, watched from question to question; `interrupted` says that Ctrl-C ended the watching."""

    def __init__(self, session: Session, source: Source, *, quietly: bool) -> None:
        from infinipot_v.cli.progress import Watching

        self.interrupted = False
        self._session, self._source, self._quietly = session, source, quietly
        self._watching = Watching(session, source.expected_frames)
        self._ahead: Frame | None = None
        self._times: list[float] = []
        self._over = False

    def answer(self, question: Question) -> dict[str, Any]:
        """Watch up to the question's time, and answer it; an `Answer` as a dictionary, with `at_seconds`."""
        if not self._over:
            self._watch(question.at)
        at = question.at if self._reached(question.at) else self._now()
        return {**asdict(say(self._session, question, quietly=self._quietly)), "at_seconds": round(at, 3)}

    def result(self) -> dict[str, Any]:
        """The parts `video` and `memory` of the JSON."""
        report = asdict(self._session.report())
        video = {key: report.pop(key) for key in ("frames", "steps", "seconds", "waiting_frames", "letterboxed_frames")}
        harm = {"damaged": self._source.damaged, "damage": self._source.damage}
        return {"video": {**video, **harm, "interrupted": self.interrupted}, "memory": report}

    def _watch(self, at: float) -> None:
        """The first Ctrl-C ends the watching and not the command; what was watched is in memory, step by whole step."""
        try:
            with self._watching.shown():
                self._session.watch(self._watching.over(self._frames(at)))
        except KeyboardInterrupt:
            if not self._session.report().frames:
                raise
            self._over = self.interrupted = True
            note = f"interrupted at {self._now():g} s: answering from what was watched; Ctrl-C again ends"
            typer.echo(note, err=True)

    def _frames(self, at: float) -> Iterator[Frame]:
        """The frames up to a time and on it. The one behind it is kept for the next call."""
        while True:
            frame, self._ahead = self._ahead or next(self._source, None), None
            if frame is None:
                self._over = True
                return
            if frame.seconds > at:
                self._ahead = frame
                return
            self._times.append(frame.seconds)
            yield frame

    def _now(self) -> float:
        """The time of the last frame that the session has."""
        return self._times[self._session.report().frames - 1] if self._times else 0.0

    def _reached(self, at: float) -> bool:
        if not self._over:
            return True
        return not self.interrupted and self._source.duration is not None and at <= self._source.duration


def say(session: Session, question: Question, *, quietly: bool) -> Answer:
    """Ask, printing the answer piece by piece unless it goes into the JSON."""
    if quietly:
        return session.ask(question.text)
    pieces = session.stream(question.text)
    typer.secho(
        f"> {question.text}" if math.isinf(question.at) else f"> [{question.at:g} s] {question.text}", bold=True
    )
    while True:
        try:
            typer.echo(next(pieces), nl=False)
        except StopIteration as end:
            typer.echo()
            answer: Answer = end.value
            return answer
