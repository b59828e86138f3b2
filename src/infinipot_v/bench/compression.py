"""One compaction of one layer: ours, the broadcast form, and the time that copying what is kept would take."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from infinipot_v.bench import broadcast
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.plan import Bench, Measure, Plan
from infinipot_v.bench.rows import Result
from infinipot_v.bench.subject import Sizes
from infinipot_v.bench.timing import Deadline, interleaved, now
from infinipot_v.budget import Budget
from infinipot_v.cache import CacheState, CappedCache
from infinipot_v.policies.base import KVView
from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.types import Grid, UserError

GRID = Grid(8, 16)
"""128 tokens a step, as `Session` has them by default."""

SHARES = ((0.75, 0.125), (0.5, 0.25), (0.5, 0.125))
"""(keep, recent): the paper's defaults; half the memory with twice the present, which is then all of TaR's share, so
that nothing is compared; and half the memory with the paper's present."""

COLD = 2**28
"""Bytes written before every repeat, so that nothing of the last one is left in a CPU's caches."""


@dataclass(frozen=True)
class LayerCase:
    """One layer of `heads` KV heads with `slots` full slots of `dim`."""

    heads: int
    slots: int
    dim: int

    @property
    def name(self) -> str:
        """As the user writes it."""
        return f"{self.heads}x{self.slots}x{self.dim}"

    def measures(self, plan: Plan) -> tuple[str, ...]:
        """See `Case`."""
        return tuple(plan.bench.measures)

    def threads(self, plan: Plan) -> int | None:
        """One."""
        return 1

    def build(self, plan: Plan, end: Deadline, result: Result) -> Layer:
        """See `Case`."""
        result.settings["shapes"][self.name] = {"grid": [GRID.height, GRID.width], "steps": self.slots // GRID.tokens}
        return Layer(self, plan.device, plan.sizes.repeats, end)


@dataclass(frozen=True)
class Layer:
    """What is measured: a case on a device."""

    case: LayerCase
    device: torch.device
    repeats: int
    deadline: Deadline

    def vectors(self, dtype: torch.dtype, seed: int) -> Tensor:
        """Random `[1, heads, slots, dim]`."""
        generator = torch.Generator(self.device).manual_seed(seed)
        shape = (1, self.case.heads, self.case.slots, self.case.dim)
        return torch.randn(shape, generator=generator, device=self.device).to(dtype)


def layer_cases(names: tuple[str, ...]) -> tuple[LayerCase, ...]:
    """Cases of names such as 4x12288x128. Raises `UserError` for what is none, or holds no recent step."""
    cases = []
    for name in names:
        match = re.fullmatch(r"(\d{1,3})x(\d{1,7})x(\d{1,4})", name)
        if match is None or not all(map(int, match.groups())) or int(match[2]) % GRID.tokens or int(match[2]) < 1024:
            raise UserError(
                f"cannot read the layer {name!r}: write HEADSxSLOTSxDIM, the slots a multiple of {GRID.tokens} "
                "from 1024 on, as in 4x12288x128"
            )
        cases.append(LayerCase(*map(int, match.groups())))
    return tuple(cases)


def measure(layer: Layer, notebook: Notebook, dtype: torch.dtype, keep: float, recent: float) -> None:
    """Milliseconds of the three, in turns, caches cold, one thread; ours' selection and moving apart.

    Ours scores values when they arrive and not when it compacts, so what that took for the tokens of one compaction's
    period is a row of its own, and a ratio has it included.
    """
    ours = Ours(layer, dtype, keep, recent)
    keys, values = layer.vectors(dtype, 0), layer.vectors(dtype, 1)
    count = int(keep * layer.case.slots)
    fresh = [torch.empty(layer.case.heads, count, layer.case.dim, dtype=dtype, device=layer.device) for _ in range(2)]
    form = partial(broadcast.compress, keys[0], values[0], GRID, count, recent, ours.policy.alpha, ours.kernel)
    cold = torch.empty(COLD, dtype=torch.uint8, device=layer.device)
    calls = {
        "broadcast": partial(_timed, layer, cold, form),
        "ours": partial(ours.once, cold),
        "arrival": partial(_timed, layer, cold, partial(ours.arrive, layer.case.slots - count)),
        "floor": partial(_timed, layer, cold, partial(_copy, (keys[0], values[0]), fresh)),
    }
    interleaved(calls, 1)
    layer.deadline.check()
    found = interleaved(calls, layer.repeats)
    write(notebook, found, ours)


def write(notebook: Notebook, found: dict[str, list[float]], ours: Ours) -> None:
    """Rows of all that was timed, and the ratios between them."""
    notes = {"arrival": "scores of the tokens that come between two compactions", "floor": "copying what is kept, once"}
    for name, milliseconds in found.items():
        notebook.row(name, milliseconds, "ms", notes.get(name, ""))
    chosen = ours.policy.spent[-len(found["ours"]) :]
    notebook.row("ours/select", chosen, "ms")
    notebook.row("ours/move", [whole - part for whole, part in zip(found["ours"], chosen, strict=True)], "ms")
    notebook.ratio("broadcast over ours", found["broadcast"], found["ours"])
    notebook.ratio("ours over floor", found["ours"], found["floor"])
    both = [one + other for one, other in zip(found["ours"], found["arrival"], strict=True)]
    notebook.ratio("broadcast over ours with arrivals", found["broadcast"], both)


@dataclass(frozen=True)
class Timed(InfiniPotV):
    """The policy, and the milliseconds that each selection took."""

    by_head: ClassVar[bool] = True
    spent: list[float] = field(default_factory=list, compare=False)

    def select(self, view: KVView, keep: int) -> Tensor:
        """See `InfiniPotV`."""
        began = now(view.keys.device)
        kept = super().select(view, keep)
        self.spent.append(1000 * (now(view.keys.device) - began))
        return kept


class Ours:
    """A capped cache of one layer, full, and the same full one again before every repeat."""

    def __init__(self, layer: Layer, dtype: torch.dtype, keep: float, recent: float) -> None:
        self.layer, self.policy = layer, Timed(recent=recent)
        budget = Budget(tokens=layer.case.slots, keep=keep, room=1)
        self.cache = CappedCache.from_model(_one_layer(layer, dtype), budget, self.policy, prefix=1)
        self._full = self._filled(layer.vectors(dtype, 0), layer.vectors(dtype, 1))

    @property
    def kernel(self) -> int:
        """The layer's pooling kernel."""
        (note,) = self.cache.notes
        return int((note or {})["kernel"])

    def once(self, cold: Tensor) -> float:
        """Milliseconds of one compaction of the full memory."""
        self.cache.restore(self._full)
        keep = self.cache.budget.target(GRID.tokens)
        return _timed(self.layer, cold, partial(self.cache.compact, keep))

    def arrive(self, tokens: int) -> None:
        """Score `tokens` values as they are scored when they arrive."""
        store = self.cache.capped_layers[0].store
        keys, values, steps, cells, _ = store.stream(0, tokens)
        for start in range(0, tokens - GRID.tokens + 1, GRID.tokens):
            part = slice(start, start + GRID.tokens)
            view = KVView(keys[:, part], values[:, part], steps[:, part], cells[:, part], GRID, 0, 1, note=store.note)
            self.policy.on_step(view)

    def _filled(self, keys: Tensor, values: Tensor) -> CacheState:
        """The first step is there for the calibration, which happens once a stream; then all others are fresh."""
        self._append(keys, values, 0, 1)
        self.cache.compact(GRID.tokens)
        for first in range(1, self.layer.case.slots // GRID.tokens):
            self._append(keys, values, first, 1)
        return self.cache.snapshot()

    def _append(self, keys: Tensor, values: Tensor, first: int, count: int) -> None:
        steps = torch.arange(first, first + count).repeat_interleave(GRID.tokens)
        part = slice(first * GRID.tokens, (first + count) * GRID.tokens)
        with self.cache.append(steps, torch.arange(GRID.tokens).repeat(count), GRID):
            self.cache.update(keys[:, :, part], values[:, :, part], 0)


def _one_layer(layer: Layer, dtype: torch.dtype) -> Any:
    """The smallest model whose one layer has such a cache; nothing is ever run through it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    case = layer.case
    config = LlamaConfig(
        hidden_size=8, intermediate_size=8, vocab_size=8, num_hidden_layers=1, num_attention_heads=case.heads,
        num_key_value_heads=case.heads, head_dim=case.dim,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    return model.to(layer.device, dtype)


def _timed(layer: Layer, cold: Tensor, call: Callable[[], object]) -> float:
    """Milliseconds of a call that finds nothing in the caches."""
    cold.add_(1)
    began = now(layer.device)
    call()
    return 1000 * (now(layer.device) - began)


def _copy(source: tuple[Tensor, Tensor], fresh: list[Tensor]) -> None:
    for vectors, copy in zip(source, fresh, strict=True):
        copy.copy_(vectors[:, : copy.shape[1]])


def _measures() -> dict[str, Measure]:
    return {
        f"{str(dtype).removeprefix('torch.')}, keep {keep}, recent {recent}": partial(
            measure, dtype=dtype, keep=keep, recent=recent
        )
        for dtype in (torch.float32, torch.bfloat16)
        for keep, recent in SHARES
    }


COMPRESS = Bench(
    name="compress", measures=_measures(), cases=layer_cases, shapes=("4x12288x128",),
    how={
        "what": "one compaction of one layer, one thread, caches flushed before every repeat, repeats in turns; slots "
        "are an intact grid, everything behind the first step fresh",
        "ours": "CappedCache.compact of one layer: selection, and the moves in place of keys, values and labels",
        "broadcast": "bench/broadcast.py: every recent step times every past one, sorting, gathering into new tensors; "
        "keys and values only",
        "floor": "copying as many keys and values as are kept, once, into memory that exists",
        "arrival": "the policy's scores of the tokens that arrive between two compactions, step by step",
    },
    sizes=Sizes(repeats=15), quick=Sizes(repeats=2), takes=frozenset({"repeats"}),
)  # fmt: skip
