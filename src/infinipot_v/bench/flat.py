"""Does a step cost at the end of a long stream what it did near the beginning? Time and memory, same fill, in turns."""

from __future__ import annotations

from infinipot_v.bench.feeding import Feed, imagined
from infinipot_v.bench.meter import Meter
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.subject import Subject
from infinipot_v.bench.timing import interleaved, now
from infinipot_v.session import Session

FEEDING_BLOCK = 12
"""Steps that run together on the way to where it is measured."""

HOW = (
    "every step is run through the language model, random embeddings stand for pictures; memory is read from one "
    "session at a tenth of the steps and at all of them; then a second session comes to a tenth, and both watch whole "
    "periods from one compaction to the next, in turns"
)


def measure(subject: Subject, notebook: Notebook) -> None:
    """Milliseconds a step at `flat_steps` and at a tenth of them, and memory held and its peak at both."""
    late, early = subject.sizes.flat_steps, max(1, subject.sizes.flat_steps // 10)
    meter = Meter(subject.device)
    meter.restart()
    old = Runner(subject)
    found = {}
    for steps in (early, late):
        old.until(steps)
        found[steps] = (float(old.session.report().nbytes), float(meter.held), float(meter.peak))
        for what, value in zip(("nbytes", "held", "peak"), found[steps], strict=True):
            notebook.row(f"step-{steps}/{what}", [value], "B", meter.kind if what != "nbytes" else "of the memory")
    for place, what in enumerate(("nbytes", "held", "peak")):
        notebook.ratio(f"{what}, step {late} over step {early}", [found[late][place]], [found[early][place]])
    young = Runner(subject)
    young.until(early)
    _compare(subject, notebook, {late: old, early: young})


class Runner:
    """One session on its way."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.session: Session = subject.session(model=imagined(subject.model), block=FEEDING_BLOCK)
        self._feed = Feed(subject, self.session, FEEDING_BLOCK)

    def until(self, steps: int) -> None:
        """Come to at least `steps` steps, and to the one right behind a compaction. Raises `TimeUp`."""
        self._feed.steps(steps - self.session.cache.counters.steps)
        self.period()

    def period(self) -> tuple[float, int]:
        """Watch step by step until one has compacted: milliseconds, and how many steps. Raises `TimeUp`."""
        before, steps, began = self._compactions, 0, now(self.subject.device)
        while self._compactions == before:
            self._feed.steps(1)
            steps += 1
        return 1000 * (now(self.subject.device) - began), steps

    @property
    def _compactions(self) -> int:
        return self.session.cache.counters.compressions


def _compare(subject: Subject, notebook: Notebook, runners: dict[int, Runner]) -> None:
    calls = {str(steps): runner.period for steps, runner in runners.items()}
    interleaved(calls, 1)
    found = interleaved(calls, subject.sizes.repeats)
    times = {name: [milliseconds / steps for milliseconds, steps in periods] for name, periods in found.items()}
    for name, periods in found.items():
        held = runners[int(name)].session.report()
        note = f"{periods[0][1]} steps a period; {held.held_tokens} tokens held, step {held.steps}"
        notebook.row(f"step-{name}", times[name], "ms", note)
    late, early = times
    notebook.ratio(f"milliseconds a step, step {late} over step {early}", times[late], times[early])
