"""Signals that wait. A move of slots is short and must be whole: Ctrl-C arrives right after it, never inside it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block ends, then deliver them to the handlers of before.

    Python runs handlers in the main thread only, so in any other thread there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    with _held(signal.SIGINT, arrived), _held(signal.SIGTERM, arrived):
        yield
    _deliver(arrived)


@contextmanager
def _held(number: signal.Signals, arrived: list[int]) -> Iterator[None]:
    """Write one signal down instead of handling it. Its handler comes back even if another's raises meanwhile."""
    before = signal.getsignal(number)
    if before is None:  # installed by C code: it could not be put back, so it is left alone
        yield
        return
    try:
        signal.signal(number, lambda late, _frame: arrived.append(late))
        yield
    finally:
        signal.signal(number, before)


def _deliver(arrived: list[int]) -> None:
    """Raise what was held back, all of it: a handler that raises does not keep the next signal from arriving."""
    if arrived:
        try:
            signal.raise_signal(arrived[0])
        finally:
            _deliver(arrived[1:])
