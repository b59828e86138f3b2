"""How long a question takes after a long stream: ours against the full cache, in turns."""

from __future__ import annotations

from functools import partial

from infinipot_v.bench.feeding import Feed, imagined
from infinipot_v.bench.meter import fits
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.subject import QUESTION, Subject
from infinipot_v.bench.timing import interleaved
from infinipot_v.generate import Decoding
from infinipot_v.session import Session
from infinipot_v.types import Answer

FEEDING_BLOCK = 12
"""Steps that run together while a memory is only being filled: faster, and the memory is the same."""


def measure(subject: Subject, notebook: Notebook) -> None:
    """Time to first token and tokens a second behind `answer_seen` tokens."""
    sessions = {}
    for name, policy in (("ours", "infinipot-v"), ("full", "full")):
        session = fits(partial(filled, subject, subject.sizes.answer_seen, policy=policy), subject.device)
        if session is None:
            notebook.missing(f"{name}/first-token", "ms", "out of memory")
        else:
            sessions[name] = session
    answers = asked(subject, sessions)
    firsts = {name: [1000 * answer.first_token_seconds for answer in found] for name, found in answers.items()}
    speeds = {name: rates(found) for name, found in answers.items()}
    for name, session in sessions.items():
        notebook.row(f"{name}/first-token", firsts[name], "ms", f"{session.report().held_tokens} tokens held")
        write_rate(notebook, name, speeds[name])
    if len(sessions) == 2:
        notebook.ratio("first-token, full over ours", firsts["full"], firsts["ours"])
        notebook.ratio("tokens-per-second, ours over full", speeds["ours"], speeds["full"])


def filled(subject: Subject, tokens: int, policy: str = "infinipot-v", positions: str | None = None) -> Session:
    """A session that has seen `tokens` tokens. Raises `TimeUp`."""
    session = subject.session(policy, positions=positions, model=imagined(subject.model), block=FEEDING_BLOCK)
    Feed(subject, session, FEEDING_BLOCK).until(tokens)
    return session


def asked(subject: Subject, sessions: dict[str, Session]) -> dict[str, list[Answer]]:
    """Answers of sessions that take turns, after one each that is not counted."""
    decoding = Decoding(max_new_tokens=subject.sizes.answer_tokens)
    calls = {name: partial(s.ask, QUESTION, remember=False, decoding=decoding) for name, s in sessions.items()}
    subject.deadline.check()
    interleaved(calls, 1)
    subject.deadline.check()
    return interleaved(calls, subject.sizes.repeats)


def rates(answers: list[Answer]) -> list[float]:
    """Tokens a second behind the first token, of the answers that have a second one."""
    return [(a.tokens - 1) / (a.seconds - a.first_token_seconds) for a in answers if a.tokens > 1]


def write_rate(notebook: Notebook, name: str, speeds: list[float]) -> None:
    """One row of `rates`."""
    if speeds:
        notebook.row(f"{name}/tokens-per-second", speeds, "tokens/s")
    else:
        notebook.missing(f"{name}/tokens-per-second", "tokens/s", "the model ended every answer at once")
