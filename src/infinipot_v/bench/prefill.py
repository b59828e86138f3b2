"""What a block of steps costs behind a long stream: our full cache against plain Hugging Face, in turns."""

from __future__ import annotations

from functools import partial

from infinipot_v.bench.feeding import Feed, imagined, without_prefill
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.plain_session import PlainSession
from infinipot_v.bench.subject import Subject
from infinipot_v.bench.timing import interleaved, now
from infinipot_v.session import Session

HOW = (
    "random embeddings stand for pictures; a block is watched by a Session with the policy full, and by a stock model "
    "with its own cache (chunked), both holding the same number of tokens; labels, scores and checks of ours included"
)


def measure(subject: Subject, notebook: Notebook) -> None:
    """Milliseconds a block behind a sixteenth and a quarter of `answer_seen` tokens."""
    for seen in (subject.sizes.answer_seen // 16, subject.sizes.answer_seen // 4):
        found = watched(subject, seen)
        for name, milliseconds in found.items():
            notebook.row(f"{name}/behind-{seen}", milliseconds, "ms", f"a block of {subject.sizes.block} steps")
        notebook.ratio(f"behind-{seen}, full over chunked", found["full"], found["chunked"])


def watched(subject: Subject, seen: int) -> dict[str, list[float]]:
    """Milliseconds of blocks behind `seen` tokens, one uncounted round first. Raises `TimeUp`."""
    block = subject.sizes.block
    more = (subject.sizes.repeats + 1) * block * subject.step_tokens
    sessions: dict[str, Session | PlainSession] = {
        "chunked": PlainSession(subject, without_prefill(subject.model)),
        "full": subject.session("full", seen + more, model=without_prefill(subject.model), block=block),
    }
    calls = {}
    for name, session in sessions.items():
        feed = Feed(subject, session, block)
        feed.until(seen)
        session.model = imagined(subject.model)
        calls[name] = partial(_block, subject, feed)
    interleaved(calls, 1)
    return interleaved(calls, subject.sizes.repeats)


def _block(subject: Subject, feed: Feed) -> float:
    began = now(subject.device)
    feed.steps(subject.sizes.block)
    return 1000 * (now(subject.device) - began)
