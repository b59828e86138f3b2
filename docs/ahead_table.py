"""Print what decoding ahead gives a model that leaves the CPU alone (it sleeps): `python docs/ahead_table.py FILE`."""

from __future__ import annotations

import sys
import time
from functools import partial
from statistics import median

from infinipot_v.bench.timing import interleaved
from infinipot_v.sources import open_source

NAP = 0.05
"""Seconds that a frame would take."""


def rate(path: str, block: int, ahead: int) -> float:
    """Frames a second, where `block` of them are watched together."""
    began, frames = time.perf_counter(), 0
    with open_source(path, fps=1.0, ahead=ahead) as source:
        for frames, _ in enumerate(source, 1):
            if frames % block == 0:
                time.sleep(NAP * block)
    return frames / (time.perf_counter() - began)


print("| frames a block | ahead | frames a second |\n|---|---|---|")
for block in (1, 8):
    calls = {str(ahead): partial(rate, sys.argv[1], block, ahead) for ahead in (0, 2, 4, 8, 16)}
    interleaved(calls, 1)
    for ahead, rates in interleaved(calls, 5).items():
        print(f"| {block} | {ahead} | {median(rates):.1f} |")
