"""Layers side by side: whatever the grain, the same memory; and no more operations for many layers than for one."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.utils._python_dispatch import TorchDispatchMode

from infinipot_v import Budget, Grid, make_policy, policy_names
from infinipot_v.cache.bank import _evenly, banks_of
from infinipot_v.cache.capped import CappedCache
from infinipot_v.cache.layers import LayerPlan
from infinipot_v.cache.moving import Window, move
from infinipot_v.cache.slots import Shape
from infinipot_v.policies import policy_class
from tests.core.test_cache import memory_bytes, same
from tests.families import small_session
from tests.grains import as_launches, set_grain
from tests.plain import noise_frames
from tests.policies.views import many

GRID = Grid(2, 3)
CPU = torch.device("cpu")
PLAIN = [name for name in policy_names() if policy_class(name).bounded and not make_policy(name).needs_queries]


def new_cache(layers: int, policy: str, room: int = 8, dtype: torch.dtype = torch.float32) -> CappedCache:
    """A cache of a model that need not exist."""
    shape = Shape(2, 8, 8, dtype, CPU)
    plan = LayerPlan([None] * layers, dict.fromkeys(range(layers), shape), 0)
    return CappedCache(plan, Budget(tokens=96, room=room), make_policy(policy), prefix=3)


def fill(cache: CappedCache, steps: int, seed: int = 0) -> CappedCache:
    """Watch steps of noise, another in every layer."""
    rng = torch.Generator().manual_seed(seed)
    layers = len(cache.capped_layers)
    with cache.prefix():
        for index, text in enumerate(torch.randn(layers, 2, 1, 2, 3, 8, generator=rng)):
            cache.update(*text, index)
    for step in range(steps):
        cells = torch.arange(GRID.tokens)
        with cache.append(torch.full_like(cells, step), cells, GRID):
            for index, tokens in enumerate(torch.randn(layers, 2, 1, 2, GRID.tokens, 8, generator=rng)):
                cache.update(*tokens.to(cache.capped_layers[0].dtype), index)
    return cache


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("policy", PLAIN)
def test_every_grain_holds_the_same_memory(policy, dtype, monkeypatch):
    """Five layers, one by one, in uneven banks, all at once, and as on a GPU; 24 compactions."""
    held = []
    for grain in ({"bank": 1}, {"bank": 2 * 96 * 16}, {}, {"chunk": 100}, {"by_head": False}):
        with monkeypatch.context() as patch:
            set_grain(patch, **grain)
            cache = fill(new_cache(5, policy, dtype=dtype), 100)
            cache.check_integrity()
            held.append((len(cache.banks), cache.counters, memory_bytes(cache)))
    assert [banks for banks, _, _ in held] == [5, 3, 1, 1, 1]
    assert held[0][1].compressions >= 20
    for _, counters, memory in held[1:]:
        assert counters == held[0][1] and same(memory, held[0][2])


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision", "smolvlm"])
@pytest.mark.parametrize("positions", ["original", "compact"])
def test_sessions_work_as_on_a_gpu(loaded, family, positions, monkeypatch):
    """Original and compact positions, text in the stream, an answer: grain is nowhere to be seen."""
    found = []
    for changes in (lambda patch: set_grain(patch, bank=1), as_launches):
        with monkeypatch.context() as patch:
            changes(patch)
            session = small_session(loaded(family), 6, "infinipot-v", block=2, positions=positions)
            session.watch(iter(noise_frames(60)))
            answer = session.ask("What is it?").text
            session.cache.check_integrity()
            found.append((session.report().compressions, answer, memory_bytes(session.cache)))
    assert found[0][:2] == found[1][:2] and found[0][0] >= 5
    assert same(found[0][2], found[1][2])


class Operations(TorchDispatchMode):
    """Counts what would be launched: everything but views and allocations."""

    FREE = ("view", "slice", "select", "unsqueeze", "expand", "empty", "split", "alias", "detach", "as_strided", "t.")

    def __init__(self) -> None:
        super().__init__()
        self.of = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        if not name.startswith((*self.FREE, "_unsafe_view", "_local_scalar_dense", "lift_fresh")):
            self.of[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("policy", [name for name in PLAIN if policy_class(name).by_head])
def test_on_a_gpu_a_compaction_takes_as_many_operations_for_many_layers_as_for_one(policy, monkeypatch):
    as_launches(monkeypatch)
    counts = []
    for layers in (1, 28):
        cache = fill(new_cache(layers, policy, room=80), 40)
        with Operations() as operations:
            cache.compact(66)
        counts.append(operations.of)
    assert counts[0] == counts[1]
    assert 10 <= counts[0].total() <= 200


def test_on_a_core_it_takes_more(monkeypatch):
    """So the count above could fail."""
    set_grain(monkeypatch, bank=1)
    with Operations() as one:
        fill(new_cache(1, "infinipot-v"), 40).compact(66)
    with Operations() as many_layers:
        fill(new_cache(4, "infinipot-v"), 40).compact(66)
    assert many_layers.of.total() > 2 * one.of.total()


@many
@given(st.data(), st.booleans(), st.integers(1, 6), st.integers(1, 40), st.integers(0, 9))
def test_moves_are_a_gather(data, by_head, heads, held, free):
    """However small the window is, and whatever lies behind the slots."""
    keep = data.draw(st.integers(0, held))
    kept = [sorted(data.draw(st.permutations(range(held)))[:keep]) for _ in range(heads)]
    index = torch.tensor(kept, dtype=torch.int64).view(heads, keep)
    buffer = torch.arange(heads * (held + free) * 3, dtype=torch.float32).view(heads, held + free, 3)
    expected = buffer[:, :held].gather(1, index[..., None].expand(-1, -1, 3))
    window = Window()
    window.reserve(buffer)
    window._memory[CPU] = window._memory[CPU][: data.draw(st.integers(heads, 20)) * 3 * 4]
    with pytest.MonkeyPatch.context() as patch:
        set_grain(patch, by_head=by_head)
        move(buffer, held, index if not by_head else index.int(), window)
    assert torch.equal(buffer[:, :keep], expected)


@many
@given(st.integers(1, 100), st.integers(1, 60))
def test_banks_are_few_and_alike(count, most):
    parts = list(_evenly(count, most))
    assert sum(parts) == count and max(parts) <= most and max(parts) - min(parts) <= 1
    assert len(parts) == -(-count // most)


def test_layers_of_other_shapes_are_in_other_banks():
    one, other = Shape(2, 8, 8, torch.float32, CPU), Shape(1, 8, 4, torch.float32, CPU)
    banks = list(banks_of([one, one, other, one], 1, 10, 4, Window(), None, apart=False))
    assert [[layer.store.shape for layer in bank.layers] for bank in banks] == [[one, one], [other], [one]]
    apart = list(banks_of([one, one], 1, 10, 4, Window(), None, apart=True))
    assert [len(bank.layers) for bank in apart] == [1, 1]
