"""What watching costs a step once the memory is full, and where the time goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice

from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.parts import PARTS, Stopwatch, listening, timed
from infinipot_v.bench.subject import Subject
from infinipot_v.bench.timing import now, quantile

WARM_UP = 3
"""Blocks that are never counted: kernels load, the allocator fills."""


@dataclass
class Watched:
    """Blocks as they were watched: milliseconds of each part, and steps a block; whether it compacted."""

    steps: int
    parts: list[dict[str, float]] = field(default_factory=list)

    def milliseconds(self, compacting: bool) -> list[float]:
        """Of a step, in every block that did (or did not) compact."""
        return [sum(part.values()) / self.steps for part in self.parts if (part["compaction"] > 0) == compacting]

    def of(self, name: str) -> list[float]:
        """Milliseconds of one part: a compaction's where there was one, else a step's."""
        if name == "compaction":
            return [part[name] for part in self.parts if part[name] > 0]
        return [part[name] / self.steps for part in self.parts]

    @property
    def share(self) -> tuple[float, float]:
        """Milliseconds of compaction, and of everything."""
        return sum(part["compaction"] for part in self.parts), sum(sum(part.values()) for part in self.parts)


def measure(subject: Subject, notebook: Notebook) -> None:
    """Watch noise in blocks, with the clock stopped at the border of every part. Counted from a full memory on."""
    watched = _watch(subject)
    for name, compacting in (("step", False), ("compacting-step", True)):
        values = watched.milliseconds(compacting)
        if not values:
            notebook.missing(name, "ms", "no such block was watched")
            continue
        notebook.row(name, values, "ms")
        notebook.row(f"{name}/p99", [quantile(values, 0.99)], "ms")
        notebook.row(f"{name}/worst", [max(values)], "ms")
    for part in PARTS:
        values = watched.of(part)
        if values:
            notebook.row(part, values, "ms", "each" if part == "compaction" else "of a step")
    spent, everything = watched.share
    notebook.ratio("compaction-of-everything", [spent], [everything])
    steps = watched.steps * len(watched.parts)
    notebook.row("steps-per-second", [1000 * steps / everything], "steps/s", f"{steps} steps, compactions included")


def _watch(subject: Subject) -> Watched:
    watch, steps = Stopwatch(partial(now, subject.device)), subject.sizes.block
    session = subject.session(model=timed(subject.model, watch))
    watched, wanted = Watched(steps), max(1, subject.sizes.steps // steps)
    frames = subject.frames()
    with listening(session, watch):
        for number in count():
            if len(watched.parts) == wanted or (watched.parts and subject.deadline.left <= 0):
                return watched  # fewer blocks are a measurement too; `n` says how many
            subject.deadline.check()
            full = session.cache.counters.compressions > 0 and number >= WARM_UP
            with watch.part("rest"):
                session.watch(islice(frames, steps * subject.model.frames_per_step))
            parts = dict.fromkeys(PARTS, 0.0) | {k: 1000 * v for k, v in watch.take().items()}
            watched.parts += [parts] if full else []
    raise AssertionError("a stream has no end")
