"""The half with bytes: a day of keys and values at the shape of a 7B model, into our cache and into a growing one.

11 million tokens cannot be run through a 7B model here, so no model runs: keys and values are drawn, in a fixed picture
that drifts slowly, with noise, so that the policy has something to choose by. What is measured is memory: no figure of
this half says anything about an answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from infinipot_v.bench.meter import STATUS, Meter, out_of_memory
from infinipot_v.budget import Budget
from infinipot_v.cache import CappedCache
from infinipot_v.cache.layers import LayerPlan
from infinipot_v.cache.slots import Shape
from infinipot_v.policies import make_policy
from infinipot_v.types import Grid

GRID = Grid(8, 16)
HEADS, DIM = 4, 128
LAYERS_OF_MODEL = 28
BUDGET = 6144
SECONDS_A_STEP = 2
GROWING_BLOCK = 32
"""Steps that the growing cache appends at once: it copies all it has each time, whatever their number."""


@dataclass(frozen=True)
class Point:
    """Bytes at `seconds` of the day: of the cache itself, and of the process beside what it had before."""

    seconds: float
    nbytes: int
    resident: int


class Drawn:
    """Keys and values of a stream, `[1, heads, tokens, dim]` in bfloat16: what a cell has always had, and noise.

    The picture changes a little with every step, and by itself once in a while, as a scene does.
    """

    def __init__(self, layers: int, seed: int = 0) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._scenes = [self._normal(2, 1, HEADS, GRID.tokens, DIM) for _ in range(layers)]

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._random)

    def step(self, number: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of every layer for one step."""
        for scene in self._scenes:
            cells = torch.randint(GRID.tokens, (4,), generator=self._random)
            scene[:, :, :, cells] = self._normal(2, 1, HEADS, 4, DIM)  # something has moved
        noise = 0.1 * self._normal(2, 1, HEADS, GRID.tokens, DIM)
        return [tuple((scene + noise).bfloat16()) for scene in self._scenes]


def capped(layers: int, steps: int, stops: int) -> Iterator[Point]:
    """Our cache, with `steps` steps written into it one by one; weighed `stops` times."""
    meter = Meter(torch.device("cpu"))
    before = meter.held
    shapes = {index: Shape(HEADS, DIM, DIM, torch.bfloat16, torch.device("cpu")) for index in range(layers)}
    plan = LayerPlan([DynamicLayer() for _ in shapes], shapes, 0)
    cache = CappedCache(plan, Budget(tokens=BUDGET), make_policy("infinipot-v"), prefix=16)
    drawn, cells = Drawn(layers), torch.arange(GRID.tokens)
    for number in range(steps):
        with cache.append(torch.full((GRID.tokens,), number), cells, GRID):
            _write(cache, drawn.step(number))
        if _weighed(number, steps, stops):
            yield Point(_seconds(number), cache.nbytes, meter.held - before)
    cache.check_integrity()


def growing(layers: int, steps: int, stops: int, limit: int) -> Iterator[Point]:
    """transformers' own cache, to the end of the day or of the memory; the last point is where it failed, 0 bytes.

    `limit` bytes may be allocated beside what is loaded.
    """
    meter, drawn, cache = Meter(torch.device("cpu")), Drawn(layers), DynamicCache()
    before = meter.held
    _limit(limit)
    for first in range(0, steps, GROWING_BLOCK):
        try:
            _write(cache, _joined([drawn.step(number) for number in range(first, first + GROWING_BLOCK)]))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            yield Point(_seconds(first), 0, 0)
            return
        if _weighed(first // GROWING_BLOCK, steps // GROWING_BLOCK, stops):
            yield Point(_seconds(first + GROWING_BLOCK), sum(map(_bytes, cache.layers)), meter.held - before)


def _bytes(layer: Any) -> int:
    return int(layer.keys.nbytes + layer.values.nbytes)


def _limit(more: int) -> None:
    """Refuse this process all but `more` bytes from here on. Linux's way; elsewhere the machine itself is the limit."""
    try:
        import resource
    except ImportError:
        return
    sizes = [line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmSize")]
    resource.setrlimit(resource.RLIMIT_AS, (int(sizes[0]) * 1024 + more, resource.RLIM_INFINITY))


def _joined(steps: list[list[tuple[Tensor, Tensor]]]) -> list[tuple[Tensor, Tensor]]:
    return [
        (torch.cat([keys for keys, _ in layer], 2), torch.cat([values for _, values in layer], 2))
        for layer in zip(*steps, strict=True)
    ]


def _write(cache: Any, written: list[tuple[Tensor, Tensor]]) -> None:
    for index, (keys, values) in enumerate(written):
        cache.update(keys, values, index)


def _weighed(number: int, steps: int, stops: int) -> bool:
    return number + 1 == steps or number * stops // steps != (number - 1) * stops // steps


def _seconds(number: int) -> float:
    return float(number * SECONDS_A_STEP)


def main(which: str, layers: int, steps: int, stops: int, limit: int) -> None:
    """Print the points of one cache as JSON lines; each has a process of its own."""
    torch.set_num_threads(1)
    for point in capped(layers, steps, stops) if which == "capped" else growing(layers, steps, stops, limit):
        print(json.dumps(asdict(point)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
