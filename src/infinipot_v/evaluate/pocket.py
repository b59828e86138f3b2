"""The benchmark of the embedded world: synthetic camera streams as real mp4 files, questions with one right answer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from infinipot_v.evaluate.base import Asked, Benchmark, Item, Manner
from infinipot_v.pocket import FPS, Question, Stream, make_stream
from infinipot_v.pocket.seeds import split_of
from infinipot_v.sources import open_source
from infinipot_v.types import Frame

STEP_TOKENS = 16
"""Tokens a step of the pocket model: a 4 x 4 grid."""


class PocketBenchmark(Benchmark):
    """Streams of `steps` steps for every seed of `seeds`, written as mp4 and read back by the file source."""

    name = "pocket"
    manner = Manner(room=64)  # questions and answers of this world are short

    def __init__(self, seeds: range, steps: int = 128) -> None:
        self.seeds, self.steps = seeds, steps
        self.splits = sorted({split_of(seed) for seed in seeds})

    @property
    def settings(self) -> dict[str, object]:
        """World version, seeds, their split, and the length."""
        from infinipot_v.pocket.version import pocket_version

        return {
            "benchmark": self.name,
            "world": pocket_version(),
            "seeds": [self.seeds.start, self.seeds.stop],
            "splits": self.splits,
            "steps": self.steps,
            "room": self.manner.room,
        }

    def items(self) -> Iterable[Item]:
        """One item a seed."""
        for seed in self.seeds:
            stream = _stream(seed, self.steps)
            questions = tuple(Asked(q.text, q.answer, q.kind, q.ask_at, q.delay_seconds) for q in stream.questions)
            yield Item(f"{seed}", self.steps * STEP_TOKENS, STEP_TOKENS, questions, stream.seconds)

    @contextmanager
    def frames(self, item: Item) -> Iterator[Iterator[Frame]]:
        """Decode the item's video; it is rendered once and read by every policy."""
        with open_source(_video(int(item.name), self.steps), fps=FPS) as source:
            yield iter(source)

    def correct(self, asked: Asked, reply: str) -> bool:
        """Whether the reply begins with the answer, letter case and punctuation aside."""
        return Question(asked.text, asked.answer, asked.kind, 0.0, asked.delay, (), ()).correct(reply)


@cache
def _stream(seed: int, steps: int) -> Stream:
    return make_stream(seed, steps=steps)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="infinipot-v-pocket-")


@cache
def _video(seed: int, steps: int) -> Path:
    path = Path(_folder().name) / f"{seed}-{steps}.mp4"
    _stream(seed, steps).write(path)
    return path
