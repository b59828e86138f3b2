"""The cap is a promise in bytes: recomputed from config.json without our code, kept by every buffer, for any length."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.cache_utils import DynamicLayer

from infinipot_v import Budget, CappedCache, Session, grain, load_model, make_policy
from infinipot_v.cache.layers import LayerPlan
from infinipot_v.cache.slots import Shape
from infinipot_v.types import Grid
from tests.families import FAMILIES
from tests.grains import as_launches, set_grain
from tests.plain import noise_frames

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def published_cap(folder, dtype: str, tokens: int, room: int, prefix: int, turning_pairs: int = 0) -> int:
    """docs/memory.md, by hand: (prefix + |M| + room) tokens of K and V, 10 bytes a slot and head, one moving window.

    With compact positions also a scratch for one layer's keys, and the angles of |M| ranks.
    """
    config = text_config(folder)
    layers, heads = config["num_hidden_layers"], config["num_key_value_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    keys_and_values = 2 * layers * heads * dim * ITEM_BYTES[dtype] * (prefix + tokens + room)
    metadata = 10 * layers * heads * tokens
    window = 512 * heads * (dim * ITEM_BYTES[dtype] + 10)
    compact = heads * dim * (prefix + tokens + room) + 2 * turning_pairs * tokens if turning_pairs else 0
    return keys_and_values + metadata + window + compact * ITEM_BYTES[dtype]


def text_config(folder) -> dict[str, Any]:
    """The language model's part of a config.json, which some checkpoints nest and some do not."""
    config = json.loads((folder / "config.json").read_text())
    return config.get("text_config", config)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("tokens", "room"), [(48, 512), (6144, 512), (1000, 64)])
@pytest.mark.parametrize("positions", ["original", "compact"])
def test_the_cap_is_the_published_formula(checkpoint, family, dtype, tokens, room, positions):
    folder = checkpoint(family)
    model = load_model(folder, device="cpu", dtype=dtype)
    session = Session(model, Budget(tokens=tokens, room=room), positions=positions)
    prefix, report, config = len(session.model.prompt.prefix()), session.report(), text_config(folder)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    pairs = rope.get("mrope_section", [dim // 2])[0] if positions == "compact" else 0
    assert report.cap_bytes == published_cap(folder, dtype, tokens, room, prefix, pairs)
    assert report.nbytes == report.cap_bytes, "everything is allocated at once"


@pytest.mark.parametrize("policy", ["infinipot-v", "uniform"])
def test_no_buffer_is_allocated_or_grown_after_construction(checkpoint, policy):
    session = Session(load_model(checkpoint("qwen2_vl"), device="cpu"), Budget(tokens=7), policy, tokens_per_step=8)
    before, nbytes = buffers(session.cache), session.report().nbytes
    session.watch(iter(noise_frames(1010, height=56, width=84)))
    session.ask("What is it?")
    assert session.report().compressions >= 500
    assert buffers(session.cache) == before and session.report().nbytes == nbytes


def buffers(cache: CappedCache) -> list[tuple[int, int]]:
    """Address and size of every buffer of a cache."""
    stores = [layer.store for layer in cache._capped]
    tensors = [t for s in stores for t in (s.keys, s.values, s.steps, s.cells, s.scores)]
    return [(t.data_ptr(), t.nbytes) for t in [*tensors, *cache._window._memory.values()]]


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make, while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {id_of(t) for t in tensors_in((args, kwargs))}
        for tensor in tensors_in(out):
            if id_of(tensor) not in given | self._known:
                self._track(tensor.untyped_storage())
        return out

    def _track(self, storage) -> None:
        key, size = storage.data_ptr(), storage.nbytes()
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def id_of(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def tensors_in(value) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


LAYERS, HEADS, DIM, TOKENS, GRID = 4, 4, 128, 6144, Grid(8, 16)
LAYER_BYTES = 2 * HEADS * DIM * 2 * TOKENS


@contextmanager
def full_cache(policy: str) -> Iterator[CappedCache]:
    """A cache at the shape of Qwen2-VL-7B's layers (four of them), bf16, filled to the brim with random steps."""
    shape = Shape(HEADS, DIM, DIM, torch.bfloat16, torch.device("cpu"))
    plan = LayerPlan([DynamicLayer() for _ in range(LAYERS)], dict.fromkeys(range(LAYERS), shape), 0)
    cache = CappedCache(plan, Budget(tokens=TOKENS, room=1), make_policy(policy), prefix=1)
    random = torch.Generator().manual_seed(0)
    for step in range(TOKENS // GRID.tokens):
        with cache.append(torch.full((GRID.tokens,), step), torch.arange(GRID.tokens), GRID):
            for layer in range(LAYERS):
                keys, values = torch.randn(2, 1, HEADS, GRID.tokens, DIM, generator=random).bfloat16()
                cache.update(keys, values, layer)
    yield cache


@pytest.mark.parametrize("policy", ["infinipot-v", "uniform", "random", "sliding-window"])
def test_a_compaction_is_done_in_place(policy):
    with full_cache(policy) as cache:
        for _ in range(2):
            with LiveBytes() as bytes_of:
                cache.compact(cache.held_tokens * 3 // 4)
            kept_indices = LAYERS * HEADS * cache.held_tokens * 4
            assert bytes_of.peak > kept_indices, "the measurement sees nothing"
            assert bytes_of.peak <= max(0.15 * LAYER_BYTES, 4 * 2**20)


@pytest.mark.parametrize("policy", ["infinipot-v", "keydiff", "uniform"])
def test_on_a_gpu_it_takes_a_part_of_all_layers_that_are_chosen_at_once(policy, monkeypatch):
    """A chunk is to four layers what a GPU's is to 28."""
    as_launches(monkeypatch)
    set_grain(monkeypatch, chunk=grain.LAUNCHES.chunk * LAYERS // 28)
    with full_cache(policy) as cache:
        assert len(cache.banks) == 1
        for _ in range(2):
            with LiveBytes() as bytes_of:
                cache.compact(cache.held_tokens * 3 // 4)
            assert 0.01 * LAYERS * LAYER_BYTES < bytes_of.peak <= LAYERS * LAYER_BYTES / 6


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_process_memory_stays_flat(checkpoint):
    """The short form of `make soak` (20,000 steps): here 1,500."""
    session = Session(load_model(checkpoint("qwen2_vl"), device="cpu"), Budget(tokens=64), tokens_per_step=4, block=8)
    picture = noise_frames(2, height=56, width=56)[0].pixels
    session.watch((picture for _ in range(1000)), fps=1.0)
    before = resident_bytes()
    session.watch((picture for _ in range(2000)), seconds=1000.0, fps=1.0)
    assert session.report().steps == 1500
    assert resident_bytes() - before < 20e6
