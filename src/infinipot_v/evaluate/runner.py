"""The runner: every contender watches every item, and is asked when the stream comes to the question's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from infinipot_v.evaluate.base import Asked, Benchmark, Item
from infinipot_v.evaluate.contenders import Contender, Watcher
from infinipot_v.evaluate.records import Record, RecordLog, Unit
from infinipot_v.evaluate.sharing import SharedVision
from infinipot_v.models.base import Model
from infinipot_v.types import Frame

Progress = Callable[[int, int], None]


def run(
    benchmark: Benchmark,
    model: Model,
    contenders: Sequence[Contender],
    log: RecordLog,
    *,
    tokens_per_step: int | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Fill the log. Units (item x contender) that it already holds whole are not run again, nor counted."""
    todo = [(item, c) for item in benchmark.items() for c in contenders if not log.done(_unit(c, item))]
    shared: Any = SharedVision(model)
    watched: Item | None = None
    for done, (item, contender) in enumerate(todo, 1):
        if item is not watched:
            shared.forget()
            watched = item
        log.write(_unit(contender, item), list(records_of(benchmark, shared, contender, item, tokens_per_step)))
        progress(done, len(todo))


def _unit(contender: Contender, item: Item) -> Unit:
    return contender.policy, float(contender.fraction), item.name


def records_of(
    benchmark: Benchmark, model: Model, contender: Contender, item: Item, tokens_per_step: int | None
) -> Iterator[Record]:
    """One contender watches one item once and is asked all its questions, each on its own."""
    watcher = contender.watcher(model, item, tokens_per_step, benchmark.room)
    with benchmark.frames(item) as frames:
        for index, asked in _in_time(item.questions, frames, watcher):
            began = time.perf_counter()
            reply = watcher.ask(benchmark.prompt(asked))
            yield Record(
                policy=contender.policy,
                budget_fraction=float(contender.fraction),
                item=item.name,
                index=index,
                of=len(item.questions),
                kind=asked.kind,
                delay=asked.delay,
                question=asked.text,
                answer=asked.answer,
                reply=reply,
                correct=benchmark.correct(asked, reply),
                held_tokens=watcher.held_tokens,
                nbytes=watcher.nbytes,
                seconds=round(time.perf_counter() - began, 4),
            )


def _in_time(questions: Sequence[Asked], frames: Iterator[Frame], watcher: Watcher) -> Iterator[tuple[int, Asked]]:
    """Yield the questions in their order, each when exactly the frames before its time have been watched."""
    upcoming = next(frames, None)
    for index, asked in enumerate(questions):
        batch = []
        while upcoming is not None and (asked.at is None or upcoming.seconds < asked.at):
            batch.append(upcoming)
            upcoming = next(frames, None)
        if batch:
            watcher.watch(batch)
        yield index, asked
