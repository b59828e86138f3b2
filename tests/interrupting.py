"""Ctrl-C, pressed by a thread that the code under test runs."""

from __future__ import annotations

import signal
import threading


def press_ctrl_c(until: threading.Event) -> None:
    """Again and again: one that comes in the very moment of going to wait is only heard after the waiting."""
    while not until.wait(0.02):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
