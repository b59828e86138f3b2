"""The half with answers: contenders watch one day side by side, and are asked on the way.

Pictures are rendered and encoded once for all. What a session holds, and what the process takes, is written down on
the way, so that a picture can show whether anything grows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.base import Asked, Item, Manner
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.evaluate.day.questions import Day, correct
from infinipot_v.evaluate.sharing import SharedVision
from infinipot_v.evaluate.watchers import Remembering, Watcher
from infinipot_v.models.base import Model
from infinipot_v.session import Session
from infinipot_v.types import Frame

STEP_TOKENS = 16
"""Tokens a step of the embedded model: a 4 x 4 grid."""
ROOM = 96
BLOCK = 16
"""Frames that are rendered together; the sessions run them in blocks of four steps."""
OURS = "infinipot-v"
STOPS = 144
"""How often it is weighed on the way: a day, every ten minutes."""
LAST_FRAMES, BLIND = "last-frames", "blind"
CONTENDERS = {OURS: f"{OURS}+positions=compact", "uniform": "uniform+positions=compact", LAST_FRAMES: LAST_FRAMES}
"""Who watches; compact positions, because a day is beyond what the model was trained for."""


@dataclass(frozen=True)
class Weight:
    """What was held at `seconds` of the day: `nbytes` and tokens of our memory; of the process, resident bytes, open
    files and threads."""

    seconds: float
    nbytes: int
    held_tokens: int
    resident: int
    files: int
    threads: int


def watch(
    day: Day,
    model: Model,
    memory_steps: int,
    *,
    answered: Callable[[dict[str, Any]], None],
    weighed: Callable[[Weight], None],
    names: Sequence[str] = tuple(CONTENDERS),
) -> Session:
    """All contenders watch the day; `answered` and `weighed` are told what comes of it. Returns our session."""
    shared: Any = SharedVision(model)
    item = Item(str(day.seed), day.steps * STEP_TOKENS, STEP_TOKENS, day.questions)
    watchers = {
        name: Contender(CONTENDERS[name], Fraction(memory_steps, day.steps)).watcher(shared, item, Manner(room=ROOM))
        for name in names
    }
    ours = watchers[OURS]
    assert isinstance(ours, Remembering)
    due, every = 0.0, day.seconds / STOPS
    for frames, questions in _pieces(day):
        for watcher in watchers.values():
            watcher.watch(frames)
        shared.forget()
        for asked in questions:
            for name, watcher in watchers.items():
                answered(_answer(day, name, watcher, asked))
        if frames[-1].seconds >= due:
            weighed(weigh(ours.session, frames[-1].seconds))
            due += every
    weighed(weigh(ours.session, day.seconds))
    return ours.session


def guess(day: Day, model: Model, answered: Callable[[dict[str, Any]], None]) -> None:
    """The control that sees nothing: what it gets right can be guessed."""
    blind = Contender(BLIND).watcher(model, Item(str(day.seed), STEP_TOKENS, STEP_TOKENS, ()), Manner(room=ROOM))
    blind.watch([Frame(picture, seconds) for _, (seconds, picture) in zip(range(2), day.stream.frames(), strict=False)])
    for asked in day.questions:
        answered(_answer(day, BLIND, blind, asked))


def _pieces(day: Day) -> Iterator[tuple[list[Frame], list[Asked]]]:
    """Frames, and what is asked when they have been watched: a piece ends where something is asked."""
    waiting = list(day.questions)
    frames: list[Frame] = []
    for seconds, picture in day.stream.frames():
        frames.append(Frame(picture, seconds))
        due = [asked for asked in waiting if asked.at is not None and asked.at <= seconds + 1]
        if due or len(frames) == BLOCK:
            waiting = waiting[len(due) :]
            yield frames, due
            frames = []
    if frames:
        yield frames, waiting


def _answer(day: Day, name: str, watcher: Watcher, asked: Asked) -> dict[str, Any]:
    reply = watcher.ask(asked.text).text
    return {"seed": day.seed, "contender": name, **asdict(asked), "reply": reply, "correct": correct(asked, reply)}


def weigh(session: Session, seconds: float) -> Weight:
    """What is held now. Resident bytes and open files are Linux's own figures; 0 elsewhere."""
    report = session.report()
    status = Path("/proc/self/status")
    resident = 0
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        resident = int(line.split()[1]) * 1024
    files = Path("/proc/self/fd")
    count = sum(1 for _ in files.iterdir()) if files.exists() else 0
    return Weight(seconds, report.nbytes, report.held_tokens, resident, count, threading.active_count())
