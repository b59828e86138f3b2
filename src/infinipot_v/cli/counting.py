"""How far long work has come: a bar with the time left on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infinipot_v.cli.progress import clock, on_terminal

Progress = Callable[[int, int], None]
EVERY = 60.0
"""Seconds between two lines where nobody looks on."""


@contextmanager
def counting(what: str) -> Iterator[Progress]:
    """Yield a function to call with (done, total) after each piece of work; everything goes to standard error."""
    if on_terminal():
        with _bar(what) as progress:
            yield progress
    else:
        yield Lines(what)


class Lines:
    """Says so much is done and so much time is left, at most every `EVERY` seconds."""

    def __init__(self, what: str, now: Callable[[], float] = time.monotonic) -> None:
        self._what, self._now = what, now
        self._began = self._said = now()

    def __call__(self, done: int, total: int) -> None:
        """Take note, and say it if it is time."""
        now = self._now()
        if now - self._said < EVERY or not done:
            return
        self._said = now
        gone = now - self._began
        left = gone * (total - done) / done
        print(f"{self._what}: {100 * done // total} %, {clock(gone)} gone, about {clock(left)} left", file=sys.stderr)


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn(what), BarColumn(), TaskProgressColumn(), TextColumn("left:"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=300) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
