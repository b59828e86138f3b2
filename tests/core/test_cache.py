"""The cache under a plain language model: all layer kinds, all or nothing, and going back."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM

from infinipot_v import Budget, CappedCache, UserError
from infinipot_v.cache.checks import NonFiniteError
from infinipot_v.cache.slots import Region
from infinipot_v.naming import cache_name
from infinipot_v.policies.base import Policy
from infinipot_v.types import Grid, RoomFull

GRID = Grid(2, 2)
PREFIX = 5
TEXT_FAMILIES = ("llama", "qwen3_5_text")


@pytest.fixture(scope="module", params=TEXT_FAMILIES)
def language_model(request, checkpoint):
    return AutoModelForCausalLM.from_pretrained(checkpoint(request.param), dtype=torch.float32).eval()


def tokens_of(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(5, 200, (1, count), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def run(model, ids: torch.Tensor, cache: CappedCache, position: int) -> torch.Tensor:
    positions = torch.arange(position, position + ids.shape[1])[None]
    return model(input_ids=ids, position_ids=positions, use_cache=True, **{cache_name(model): cache}).logits[0]


def fill(model, cache: CappedCache, steps: int, first: int = 0, size: int = 1) -> torch.Tensor:
    """Write the prefix (if it is empty) and `steps` steps, `size` at a time; returns all logits."""
    ids, logits = tokens_of(PREFIX + 200 * GRID.tokens), []
    if not cache.prefix_tokens:
        with cache.prefix():
            logits.append(run(model, ids[:, :PREFIX], cache, 0))
    for step in range(first, first + steps, size):
        many = min(size, first + steps - step)
        labels = torch.arange(step, step + many).repeat_interleave(GRID.tokens)
        start = PREFIX + step * GRID.tokens
        with cache.append(labels, torch.arange(GRID.tokens).repeat(many), GRID):
            logits.append(run(model, ids[:, start : start + many * GRID.tokens], cache, start))
    return torch.cat(logits)


def new_cache(model, tokens: int = 40, policy="infinipot-v", room: int = 64) -> CappedCache:
    return CappedCache.from_model(model, Budget(tokens=tokens, room=room), policy, prefix=PREFIX)


def memory_bytes(cache: CappedCache) -> list[torch.Tensor]:
    """Everything that is memory, copied: slots, metadata, the state of other layers."""
    state = cache.snapshot()
    tensors = [t for store in state.stores for t in (store.keys, store.values, store.steps, store.cells, store.scores)]
    return tensors + [t for other in state.others for t in _tensors(other)]


def _tensors(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value.values() for t in _tensors(item)] if isinstance(value, dict) else []


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.contract
def test_a_stream_that_fits_equals_the_plain_forward(language_model):
    cache = new_cache(language_model, tokens=100)
    logits = fill(language_model, cache, 20, size=3)
    with torch.no_grad():
        plain = language_model(tokens_of(PREFIX + 200 * GRID.tokens)[:, : logits.shape[0]]).logits[0]
    assert (logits - plain).abs().max() <= 1e-5
    cache.check_integrity()


@pytest.mark.contract
def test_only_full_attention_layers_are_capped(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("qwen3_5_text"), dtype=torch.float32).eval()
    cache = new_cache(model, tokens=12)
    kinds = model.config.layer_types
    assert [type(layer).__name__ == "CappedLayer" for layer in cache.layers] == [k == "full_attention" for k in kinds]
    fill(model, cache, 30)
    assert cache.held_tokens <= 12
    assert cache.nbytes <= cache.cap_bytes
    assert cache.cost.other_bytes > 0


@pytest.mark.contract
def test_the_room_rolls_back_to_the_bit(language_model):
    cache = new_cache(language_model)
    fill(language_model, cache, 15)
    before = memory_bytes(cache)
    question = tokens_of(9, seed=7)
    first = run(language_model, question, cache, 500)
    run(language_model, question[:, :1], cache, 509)
    cache.rollback()
    assert same(before, memory_bytes(cache))
    assert torch.equal(first, run(language_model, question, cache, 500)), "the second answer differs"


class Stop(BaseException):
    """Stands for Ctrl-C: no except of ours may swallow it."""


@pytest.mark.contract
@pytest.mark.parametrize("layer", [0, 3])
def test_a_step_interrupted_in_mid_prefill_leaves_the_memory_of_before(language_model, layer):
    cache = new_cache(language_model, tokens=100)
    fill(language_model, cache, 6)
    before, counters = memory_bytes(cache), cache.counters

    def interrupt(*_):
        raise Stop

    hook = language_model.model.layers[layer].register_forward_hook(interrupt)
    with pytest.raises(Stop):
        fill(language_model, cache, 1, first=6)
    hook.remove()
    assert same(before, memory_bytes(cache)) and cache.counters == counters
    fill(language_model, cache, 4, first=6)
    untouched = new_cache(language_model, tokens=100)
    fill(language_model, untouched, 10)
    assert same(memory_bytes(cache), memory_bytes(untouched)), "going on differs from never having been interrupted"


class Failing(Policy):
    """Selects like the real one, and fails in one layer of one compaction."""

    calls = 0

    def __init__(self, inner: Policy, fail_at: int) -> None:
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "fail_at", fail_at)

    def __getattribute__(self, name: str):
        if name in ("on_step", "calibrate", "rescore"):
            return getattr(object.__getattribute__(self, "inner"), name)
        return object.__getattribute__(self, name)

    def select(self, view, keep):
        Failing.calls += 1
        if Failing.calls == self.fail_at:
            raise Stop
        return self.inner.select(view, keep)


@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_a_compaction_interrupted_in_mid_selection_moves_no_slot(checkpoint, fail_at):
    from infinipot_v import make_policy

    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32).eval()
    Failing.calls = 0
    cache = new_cache(model, policy=Failing(make_policy("infinipot-v"), fail_at))
    fill(model, cache, 10)
    before = [t for t in memory_bytes(cache) if t.dtype != torch.float32 or t.dim() != 2]
    with pytest.raises(Stop):
        fill(model, cache, 1, first=10)
    after = [t for t in memory_bytes(cache) if t.dtype != torch.float32 or t.dim() != 2]
    assert same(before, after) and cache.counters.compressions == 0
    cache.check_integrity()
    fill(model, cache, 20, first=10)
    untouched = new_cache(model)
    fill(model, untouched, 30)
    assert same(memory_bytes(cache), memory_bytes(untouched))


def test_a_failing_rescore_puts_the_raw_scores_back(checkpoint, monkeypatch):
    from infinipot_v import make_policy

    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32).eval()
    policy, calls = make_policy("infinipot-v"), []
    cache = new_cache(model, policy=policy)
    fill(model, cache, 10)
    before = memory_bytes(cache)
    rescore = type(policy).rescore

    def failing(self, view):
        calls.append(view.layer)
        if len(calls) == 2:
            raise Stop
        return rescore(self, view)

    monkeypatch.setattr(type(policy), "rescore", failing)
    with pytest.raises(Stop):
        cache.make_room(GRID.tokens)
    assert calls == [0, 1] and same(before, memory_bytes(cache)) and set(cache.notes) == {None}


@pytest.mark.contract
def test_snapshot_and_restore(language_model):
    cache = new_cache(language_model)
    fill(language_model, cache, 14)
    state, before = cache.snapshot(), memory_bytes(cache)
    fill(language_model, cache, 20, first=14)
    later = memory_bytes(cache)
    cache.restore(state)
    assert same(before, memory_bytes(cache))
    fill(language_model, cache, 20, first=14)
    assert same(later, memory_bytes(cache)), "watching the same again must lead to the same memory"


def test_nan_is_noticed_before_it_is_memory(language_model):
    cache = new_cache(language_model)
    fill(language_model, cache, 4)
    before = memory_bytes(cache)
    weight = language_model.model.layers[3].self_attn.k_proj.weight
    keep = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="layer"):
        fill(language_model, cache, 1, first=4)
    with torch.no_grad():
        weight.copy_(keep)
    assert same(before, memory_bytes(cache))


def test_overflow_is_raised_before_anything_is_written(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32).eval()
    cache = new_cache(model, tokens=8, room=6)
    fill(model, cache, 2)
    before = memory_bytes(cache)
    with pytest.raises(RoomFull, match=r"room of 6 slots"):
        run(model, tokens_of(7), cache, 100)
    assert cache.room_left == 6 and same(before, memory_bytes(cache))
    with pytest.raises(UserError, match="at least one step"):
        fill(model, cache, 3, first=2, size=3)
    with pytest.raises(UserError, match="batch"):
        run(model, tokens_of(2).expand(2, -1), cache, 0)


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("policy", ["infinipot-v", "infinipot-v-code", "uniform", "random", "sliding-window"])
@pytest.mark.parametrize("tokens", [4, 5, 9, 30])
def test_any_budget_and_keep_work(checkpoint, keep, policy, tokens):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32).eval()
    cache = CappedCache.from_model(model, Budget(tokens=tokens, keep=keep), policy, prefix=PREFIX)
    for step in range(25):
        fill(model, cache, 1, first=step)
        cache.check_integrity()
        assert GRID.tokens <= cache.held_tokens <= tokens


def test_the_full_policy_grows_and_forgets_nothing(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32).eval()
    cache = new_cache(model, tokens=8, policy="full")
    logits = fill(model, cache, 30)
    with torch.no_grad():
        plain = model(tokens_of(PREFIX + 200 * GRID.tokens)[:, : logits.shape[0]]).logits[0]
    assert cache.held_tokens == 120 and (logits - plain).abs().max() <= 1e-5


def test_the_cache_can_be_reset(language_model):
    cache = new_cache(language_model)
    first = fill(language_model, cache, 12)
    cache.reset()
    assert cache.held_tokens == 0 and torch.equal(first, fill(language_model, cache, 12))


def test_crop_touches_the_room_only(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32).eval()
    cache = new_cache(model)
    fill(model, cache, 3)
    run(model, tokens_of(5), cache, 100)
    cache.crop(-2)
    assert cache._capped[0].store.used[Region.ROOM] == 3
    with pytest.raises(UserError, match="room"):
        cache.crop(-4)


def test_steps_must_be_new(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32).eval()
    cache = new_cache(model)
    fill(model, cache, 3)
    with pytest.raises(UserError, match="ascend"):
        fill(model, cache, 1, first=2)
    assert copy.copy(cache.counters).steps == 3
