"""What watching costs a step once the memory is full, and where the time goes; with a real video, how fast is live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice

from infinipot_v.bench import flat, overlap
from infinipot_v.bench.feeding import Feed, without_prefill
from infinipot_v.bench.models import model_cases
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.parts import PARTS, Stopwatch, listening, timed
from infinipot_v.bench.plan import Bench, Plan
from infinipot_v.bench.shapes import Shape
from infinipot_v.bench.subject import Sizes, Subject
from infinipot_v.bench.timing import now, quantile
from infinipot_v.session import Session
from infinipot_v.types import Frame

WARM_UP = 3
"""Blocks that are never counted: kernels load, the allocator fills."""

HOW = (
    "the device is waited for at the border of every part; counted from a full memory on, in whole periods from one "
    "compaction to the next; the memory was filled with random keys and values before"
)


@dataclass
class Watched:
    """Blocks as they were watched: milliseconds of each part, and steps a block; whether it compacted."""

    steps: int
    parts: list[dict[str, float]] = field(default_factory=list)

    def milliseconds(self, compacting: bool | None = None) -> list[float]:
        """Of a step, in every block; or in those that did (or did not) compact."""
        return [
            sum(part.values()) / self.steps
            for part in self.parts
            if compacting is None or (part["compaction"] > 0) == compacting
        ]

    def of(self, name: str) -> list[float]:
        """Milliseconds of one part: a compaction's where there was one, else a step's."""
        if name == "compaction":
            return [part[name] for part in self.parts if part[name] > 0]
        return [part[name] / self.steps for part in self.parts]

    def sum(self, *names: str) -> float:
        """Milliseconds of some parts, all blocks together; of all parts without a name."""
        return sum(part[name] for part in self.parts for name in names or PARTS)


def measure(subject: Subject, notebook: Notebook) -> None:
    """Watch in blocks, with the clock stopped at the border of every part."""
    watched = _watch(subject)
    for name, compacting in (("all", None), ("step", False), ("compacting-step", True)):
        _write_steps(notebook, name, watched.milliseconds(compacting))
    everything = watched.sum()
    for part in (part for part in PARTS if watched.of(part) and (part != "decode" or subject.footage)):
        notebook.row(part, watched.of(part), "ms", "each" if part == "compaction" else "of a step")
        notebook.ratio(f"{part}-of-everything", [watched.sum(part)], [everything])
        notebook.series(part, [parts[part] / watched.steps for parts in watched.parts])
    steps = watched.steps * len(watched.parts)
    notebook.row("steps-per-second", [1000 * steps / everything], "steps/s", f"{steps} steps, compactions included")
    if subject.footage is not None:
        _write_live(subject, notebook, watched)
        overlap.measure(subject, notebook, {way: full_session(subject) for way in overlap.WAYS})


def _write_steps(notebook: Notebook, name: str, values: list[float]) -> None:
    if not values:
        notebook.missing(name, "ms", "no such block was watched")
        return
    notebook.row(name, values, "ms")
    notebook.row(f"{name}/p99", [quantile(values, 0.99)], "ms")
    notebook.row(f"{name}/worst", [max(values)], "ms")


def _write_live(subject: Subject, notebook: Notebook, watched: Watched) -> None:
    """Times real time, the highest rate that keeps up, and what takes most of the time.

    Decoding costs the same a second of video at any rate, for all of its frames are decoded; the rest goes with the
    frames that are watched. So at most (1 - decoding a second) / (the rest a frame) frames a second keep up.
    """
    assert subject.footage is not None
    frames = watched.steps * len(watched.parts) * subject.model.frames_per_step
    seconds = frames / subject.footage.fps
    decoding = watched.sum("decode") / 1000 / seconds
    a_frame = (watched.sum() - watched.sum("decode")) / 1000 / frames
    largest = max(PARTS, key=watched.sum)
    bound = f"bound by {largest}, {watched.sum(largest) / watched.sum():.0%} of the time"
    notebook.row("times-real-time", [seconds / (watched.sum() / 1000)], "x", f"at {subject.footage.fps:g} fps; {bound}")
    notebook.row("sustainable-fps", [max(0.0, 1 - decoding) / a_frame], "frames/s", bound)


def _watch(subject: Subject) -> Watched:
    """Blocks in whole periods of compaction, so that none is counted with more or fewer compactions than it has."""
    watch, steps = Stopwatch(partial(now, subject.device)), subject.sizes.block
    session = full_session(subject)
    session.model = timed(subject.model, watch)
    watched, phase = Watched(steps), Phase(session)
    frames = _shown(subject, watch, session)
    with listening(session, watch):
        for number in count(-WARM_UP):
            subject.deadline.check()
            with watch.part("rest"):
                session.watch(islice(frames, steps * subject.model.frames_per_step))
            parts = dict.fromkeys(PARTS, 0.0) | {name: 1000 * spent for name, spent in watch.take().items()}
            if number < 0:
                phase = Phase(session)
                continue
            watched.parts.append(parts)
            whole = phase.over() and (number + 1) * steps >= subject.sizes.steps
            if whole or subject.deadline.left <= 0:
                return watched  # fewer blocks are a measurement too; `n` says how many
    raise AssertionError("a stream has no end")


class Phase:
    """Where a session is between two compactions; `over` says whether it has come there again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._began = self._before = session.cache.held_tokens

    def over(self) -> bool:
        """To be asked behind every block."""
        before, self._before = self._before, self._session.cache.held_tokens
        return before < self._began <= self._before or self._before == self._began


def full_session(subject: Subject, positions: str | None = None) -> Session:
    """A session that has compacted, though nothing ran through the model. Raises `TimeUp`."""
    session = subject.session(positions=positions, model=without_prefill(subject.model))
    feed = Feed(subject, session)
    while session.cache.counters.compressions == 0:
        feed.steps(1)
    return session


def _shown(subject: Subject, watch: Stopwatch, session: Session) -> Iterator[Frame]:
    """Footage, or noise, behind what the session has seen already; getting a frame is timed as decoding."""
    frames = subject.shown()
    began = session.report().seconds + 1.0
    while True:
        with watch.part("decode"):
            frame = next(frames)
        yield Frame(frame.pixels, began + frame.seconds)


def chosen(plan: Plan, shape: Shape) -> tuple[str, ...]:
    """The long stream is for shapes that are small enough for it."""
    return tuple(name for name in plan.bench.measures if name != "flat" or shape.small)


STREAM = Bench(
    name="stream", measures={"stream": measure, "flat": flat.measure}, cases=partial(model_cases, chosen=chosen),
    shapes=("pocket", "0.5b"), layers=6,
    how={
        "weights": "random, except those of pocket, which are its own; every figure is one of time or memory",
        "stream": HOW,
        "live": "with --video: the file is decoded as it is watched, over and over; nothing runs beside anything else",
        "decoded-ahead": overlap.HOW,
        "flat": flat.HOW,
    },
    sizes=Sizes(budgets=(2_048,), steps=48, flat_steps=20_000, block=1, repeats=15, seen=(1,), answer_seen=1),
    quick=Sizes(budgets=(128,), steps=16, flat_steps=200, block=1, repeats=2, seen=(1,), answer_seen=1),
    takes=frozenset({"layers", "threads", "budgets", "steps", "flat_steps", "block", "repeats", "video"}),
)  # fmt: skip
