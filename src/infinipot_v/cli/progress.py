"""Progress on standard error: time watched, frames a second, tokens held of the cap, time left. Only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from infinipot_v.session import Session
    from infinipot_v.types import Frame

WIDE = 80
"""Columns from which there is place for a bar and for words."""


def on_terminal() -> bool:
    """Whether somebody looks at standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


class Watching:
    """The bar of one stream. `total` frames are expected, if that is known; without a terminal it does nothing."""

    def __init__(self, session: Session, total: int | None) -> None:
        self._session, self._total = session, total
        self._frames, self._busy = 0, 0.0
        self._bar: Progress | None = None
        self._task: Any = None

    def over(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames; the bar moves as they are taken. A frame has been watched when the next one is asked for."""
        began = time.perf_counter()
        for frame in frames:
            yield frame
            now = time.perf_counter()
            self._frames, self._busy, began = self._frames + 1, self._busy + now - began, now
            if self._bar is not None:
                self._bar.update(self._task, completed=self._frames, state=self._state(frame.seconds))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The bar is on the terminal inside this block, and leaves no trace behind it."""
        if not on_terminal():
            yield
            return
        with _bar() as bar:
            self._bar = bar
            self._task = bar.add_task("watching", total=self._total, completed=self._frames, state="")
            try:
                yield
            finally:
                self._bar = None

    def _state(self, seconds: float) -> str:
        cache = self._session.cache
        rate = self._frames / max(self._busy, 1e-9)
        if self._bar is not None and self._bar.console.width >= WIDE:
            return f"{clock(seconds)}  {rate:.1f} frames/s  {cache.held_tokens}/{cache.tokens} tokens"
        return f"{clock(seconds)} {rate:.0f}f/s {cache.held_tokens}/{cache.tokens}"


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    wide = [TextColumn("watching"), BarColumn(bar_width=None)] if console.width >= WIDE else []
    state = TextColumn("{task.fields[state]}")
    return Progress(*wide, state, TimeRemainingColumn(compact=True), console=console, transient=True, expand=bool(wide))


def clock(seconds: float) -> str:
    """`34 s`, `12:05`, `3:12:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


@contextmanager
def status(text: str) -> Iterator[None]:
    """A line that says what takes so long, while it takes so long."""
    if not on_terminal():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield
