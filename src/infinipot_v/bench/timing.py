"""Clocks that wait for the device, repeats that take turns, and how much time is left. Knows no model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")


class TimeUp(Exception):
    """The time that a benchmark was given is used up."""


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was told; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def now(device: torch.device) -> float:
    """Wall-clock seconds, read when the device is idle."""
    synchronise(device)
    return time.perf_counter()


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads inside this block; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def interleaved(calls: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Call each `repeats` times, in turns, every other round backwards, so that a drift favours none."""
    results: dict[str, list[T]] = {name: [] for name in calls}
    for turn in range(repeats):
        for name in list(calls)[:: 1 if turn % 2 == 0 else -1]:
            results[name].append(calls[name]())
    return results


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The median, and the interquartile range."""
    return quantile(values, 0.5), quantile(values, 0.75) - quantile(values, 0.25)


@dataclass(frozen=True)
class Deadline:
    """When the time is up, on `clock`; None is never."""

    at: float | None = None
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """The time is up in `seconds`."""
        return cls(None if seconds is None else clock() + seconds, clock)

    @property
    def left(self) -> float:
        """Seconds left; infinity where there is no end."""
        return math.inf if self.at is None else self.at - self.clock()

    def check(self) -> None:
        """Raise `TimeUp` when nothing is left."""
        if self.left <= 0:
            raise TimeUp

    def share(self, among: int) -> Deadline:
        """The end of the first of `among` equal parts of what is left."""
        return self if self.at is None else Deadline(self.clock() + self.left / among, self.clock)
