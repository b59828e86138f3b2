"""The runner: every contender watches every item, and is asked when the stream comes to the question's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from infinipot_v.evaluate.base import Asked, Benchmark, BrokenVideo, Item
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.evaluate.records import Left, Record, RecordLog, Unit
from infinipot_v.evaluate.sharing import SharedVision
from infinipot_v.evaluate.watchers import Watcher
from infinipot_v.models.base import Model
from infinipot_v.types import Frame, UserError

Progress = Callable[[int, int], None]
LeftOut = Callable[[Item, BrokenVideo], None]


def _stop(item: Item, error: BrokenVideo) -> None:
    raise error


def run(
    benchmark: Benchmark,
    model: Model,
    contenders: Sequence[Contender],
    log: RecordLog,
    *,
    progress: Progress = lambda done, total: None,
    left_out: LeftOut = _stop,
    items: Sequence[Item] | None = None,
) -> None:
    """Fill the log. Units (item x contender) that it already holds whole are not run again, nor counted.

    `items` are those to run, all if not given. An item whose video is broken is told to `left_out`, which raises unless
    another is given, and the rest runs.
    """
    todo = [
        (item, wanted)
        for item in (benchmark.items() if items is None else items)
        if (wanted := [c for c in contenders if not log.done(_unit(c, item))])
    ]
    done, total = 0, sum(len(wanted) for _, wanted in todo)
    for item, wanted in todo:
        try:
            for unit, records in records_of_all(benchmark, model, wanted, item):
                log.take(unit, records)
                done += 1
                progress(done, total)
        except BrokenVideo as error:
            left_out(item, error)
            total -= 1


def records_of_all(
    benchmark: Benchmark, model: Model, contenders: Sequence[Contender], item: Item
) -> Iterator[tuple[Unit, list[Record] | Left]]:
    """All contenders watch one item, one after the other; what the vision tower says is computed once.

    A memory that is as large as the item wants it may fit neither the machine nor the model's positions; then, where
    the benchmark is `forgiving`, that contender is left out of that item.
    """
    shared: Any = SharedVision(model) if len(contenders) > 1 else model
    sized = benchmark.sized(item, model)
    for contender in contenders:
        try:
            found: list[Record] | Left = _settled(benchmark, shared, contender, sized)
        except BrokenVideo:
            raise
        except (UserError, torch.OutOfMemoryError) as error:
            if not (benchmark.forgiving and contender.grows):
                raise
            told = f"it does not fit: {str(error).partition('. ')[0]}"
            found = Left(item.name, told, len(item.questions), tried=True, policy=contender.policy)
        yield _unit(contender, item), found


def _settled(benchmark: Benchmark, model: Model, contender: Contender, item: Item) -> list[Record]:
    return numbered(benchmark.settled(list(records_of(benchmark, model, contender, item))))


def numbered(records: Sequence[Record]) -> list[Record]:
    """The records of one unit, counted anew."""
    return [replace(record, index=index, of=len(records)) for index, record in enumerate(records)]


def _unit(contender: Contender, item: Item) -> Unit:
    return contender.policy, contender.limit, item.name


def records_of(benchmark: Benchmark, model: Model, contender: Contender, item: Item) -> Iterator[Record]:
    """One contender watches one item once and is asked all its questions, each on its own."""
    watcher = contender.watcher(model, item, benchmark.manner)
    with benchmark.frames(item) as frames:
        meter = Meter(frames)
        for index, asked in _in_time(item.questions, meter, watcher):
            yield _record(benchmark, contender, item, index, asked, watcher, meter)


class Meter:
    """Gives the frames of one stream up to a time, counts them, and takes the time that watching them takes."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._ahead = next(frames, None)
        self.count, self.seconds, self.newest = 0, 0.0, 0.0

    def until(self, at: float | None) -> Iterator[Frame]:
        """The frames before `at` seconds, or all. One is decoded ahead; no other is held."""
        while self._ahead is not None and (at is None or self._ahead.seconds < at):
            frame, self.count, self.newest = self._ahead, self.count + 1, self._ahead.seconds
            yield frame
            self._ahead = next(self._frames, None)

    def watched(self, watcher: Watcher, at: float | None) -> None:
        """Have them watched."""
        began = time.perf_counter()
        if self._ahead is not None and (at is None or self._ahead.seconds < at):
            watcher.watch(self.until(at))
        self.seconds += time.perf_counter() - began


def _in_time(questions: Iterable[Asked], frames: Meter, watcher: Watcher) -> Iterator[tuple[int, Asked]]:
    """Yield the questions in their order, each when exactly the frames before its time have been watched."""
    for index, asked in enumerate(questions):
        frames.watched(watcher, asked.at)
        yield index, asked


def _record(
    benchmark: Benchmark,
    contender: Contender,
    item: Item,
    index: int,
    asked: Asked,
    watcher: Watcher,
    frames: Meter,
) -> Record:
    """Ask one question and write down what comes of it."""
    prompt = benchmark.prompt(asked)
    answer = watcher.ask(prompt)
    further = benchmark.follow_up(asked, answer.text)
    tokens = int(contender.budget) if contender.budget.isdecimal() else 0
    share = min(1.0, tokens / item.tokens) if tokens and item.tokens else float(contender.fraction)
    return Record(
        policy=contender.policy,
        budget_fraction=round(share, 6) if contender.budget else share,
        item=item.name,
        index=index,
        of=len(item.questions),
        kind=asked.kind,
        delay=asked.delay,
        question=asked.text,
        answer=asked.answer,
        reply=answer.text,
        correct=benchmark.correct(asked, answer.text),
        held_tokens=watcher.held_tokens,
        nbytes=watcher.nbytes,
        seconds=round(answer.seconds, 4),
        budget=contender.budget,
        group=asked.group,
        series=asked.series,
        identity=asked.identity,
        at=asked.at,
        parsed=benchmark.parsed(asked, answer.text),
        chance=watcher.chance(prompt) if asked.yes_no else None,
        seen_tokens=watcher.seen_tokens,
        first_token_seconds=round(answer.first_token_seconds, 4),
        frames=frames.count,
        watching_seconds=round(frames.seconds, 4),
        video_seconds=round(frames.newest, 3),
        truth=asked.truth,
        finish=answer.finish,
        damage=benchmark.damage(item),
        follow_up=None if further is None else watcher.ask(further).text,
    )
