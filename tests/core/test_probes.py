"""Policies that ask for queries: what they are shown, when, at which cost to the memory (none), and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from infinipot_v import Budget, CappedCache, Decoding, KVView, Policy, Session, UserError, make_policy
from infinipot_v.cache.checks import NonFiniteError
from infinipot_v.cache.slots import Region
from infinipot_v.policies import policy_names
from infinipot_v.queries import probe
from tests.core.test_cache import memory_bytes, same
from tests.core.test_compact import frequencies
from tests.core.test_exactness import recorded
from tests.core.test_interrupts import Interrupter
from tests.families import FAMILIES, FIXED, small_session
from tests.oracle.attention import attending, logits_of, masked, ranked, slot_ranks, step_ranks
from tests.oracle.recording import Recording
from tests.plain import noise_frames

NAMES = tuple(name for name in policy_names() if make_policy(name).needs_queries)
CASES = [(name, family) for name in ("snapkv", "infinipot") for family in FAMILIES]
"""Both kinds of probe in every family; the other policies differ in what they make of it (test_every_policy.py)."""

SHORT = Decoding(max_new_tokens=4)


def frames_of(model, steps):
    return noise_frames(steps * model.frames_per_step, fps=1.5, seed=3)


def test_there_are_policies_that_ask_for_queries():
    assert {"snapkv", "infinipot", "streammem", "hermes"} <= set(NAMES)


@pytest.mark.contract
@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize(("name", "family"), CASES)
def test_logits_of_stream_probe_and_question_equal_the_oracle(loaded, name, family, positions):
    """Original: a full cache with what was evicted masked. Compact: loops over heads with ranks."""
    model = loaded(family)
    session = small_session(model, 10, name, block=3, positions=positions)
    streamed, recording = recorded(session, frames_of(model, 30))
    attention, at = masked(recording), recording.positions
    if positions == "compact":
        ranks, at = slot_ranks, torch.zeros_like(at)
        if model.family not in FIXED:
            spacing = 1.0 if model.time_rate is None else model.time_rate * 2 / 1.5
            ranks, at = step_ranks(recording, lambda rank: int(rank * spacing + 1e-4)), recording.positions.clone()
            at[0] = 0
        attention = ranked(recording, ranks, frequencies(model))
    assert (streamed - logits_of(model, recording, attention, at)).abs().max() <= 1e-5
    plain = logits_of(model, recording, None, recording.positions)
    assert (streamed - plain).abs().max() > 1e-2, "the comparison must be able to fail"


@pytest.mark.contract
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_is_asked_once_a_compaction_and_only_then(loaded, name, family):
    model = loaded(family)
    session = small_session(model, 6, name, block=1)
    with Recording(session).running() as recording:
        session.watch(iter(frames_of(model, 20)))
    regions = [forward.region for forward in recording.forwards]
    assert regions.count(Region.ROOM) == session.report().compressions > 0
    for one, other in itertools.pairwise(recording.forwards):
        if one.region is Region.ROOM:
            assert other.region is Region.STREAM, "the step that did not fit comes next"
            shown = name == "snapkv"
            assert torch.equal(one.embeddings, other.embeddings) == shown
            ids = model.prompt.behind(None, [], make_policy(name).probe or "")
            assert shown or torch.equal(one.embeddings, model.embed(ids)[0])


@dataclass(frozen=True)
class Asking(Policy):
    """Keeps the newest, and writes down what it is shown."""

    name: ClassVar[str] = "asking"

    wanted: int
    question: str | None
    views: list[tuple[Tensor, Tensor, int]] = field(default_factory=list)

    @property
    def needs_queries(self) -> int:
        return self.wanted

    @property
    def probe(self) -> str | None:
        return self.question

    def select(self, view: KVView, keep: int) -> Tensor:
        assert view.queries is not None
        read = view.keys if view.read is None else view.read
        assert read.shape == view.keys.shape
        self.views.append((view.queries.clone(), read.clone(), view.layer))
        return torch.arange(view.slots - keep, view.slots).expand(len(view.keys), -1)


@pytest.mark.contract
@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize(("wanted", "question"), [(3, None), (99, "What?")])
@pytest.mark.parametrize("family", FAMILIES)
def test_queries_and_keys_are_those_that_attention_works_with(loaded, family, wanted, question, positions):
    """By an attention function of the tests, in the forward of the probe: rotated the same way, each of its layer."""
    model, given = loaded(family), []
    policy = Asking(wanted, question)
    session = small_session(model, 4, policy, positions=positions, block=1)

    def attention(layer, query, key, value, scaling):
        if session.cache.capped_layers[layer].region is Region.ROOM:
            given.append((query.clone(), key.clone()))
        groups = query.shape[0] // key.shape[0]
        return query + value.repeat_interleave(groups, 0).mean(1, keepdim=True)

    with attending(model.hf, attention):
        session.watch(iter(frames_of(model, 9)))
    assert len(given) == len(policy.views) > 0
    first = session.cache.prefix_tokens
    for index, ((query, key), (queries, read, layer)) in enumerate(zip(given, policy.views, strict=True)):
        assert torch.equal(queries, query[:, -wanted:]) and queries.shape[1] <= wanted
        assert torch.equal(read, key[:, first : first + read.shape[1]])
        assert index % len(session.cache.capped_layers) == layer


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", ["qwen2_vl", "internvl"])
def test_the_block_size_changes_nothing(loaded, name, family):
    model = loaded(family)
    frames = noise_frames(24 * model.frames_per_step - 1, seed=5)
    kept = [kept_with(model, frames, name, block) for block in (1, 3, 64)]
    assert all(all(map(torch.equal, kept[0], other)) for other in kept[1:])


def kept_with(model, frames, name, block):
    session = small_session(model, 6.3, name, block=block)
    session.watch(iter(frames))
    return labels(session)


def labels(session):
    """True step and cell of every slot held."""
    stores = [layer.store for layer in session.cache.capped_layers]
    return [torch.stack([s.steps, s.cells.int()])[..., : s.held].clone() for s in stores]


class Stop(Exception):
    """Raised in the middle of a probe."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_a_probe_that_fails_leaves_the_memory_as_it_was(loaded, name, error):
    model = loaded("qwen2_vl")
    frames, implementation = frames_of(model, 12), model.text_config._attn_implementation
    hurt, whole = (small_session(model, 5, name, block=1) for _ in range(2))
    hurt.watch(iter(frames[:10]))
    before = memory_bytes(hurt.cache)

    def stop(*_):
        raise error

    hook = model.hf.get_decoder().layers[1].register_forward_hook(stop)
    with pytest.raises(error):
        hurt.watch(iter(frames[10:]))
    hook.remove()
    assert same(before, memory_bytes(hurt.cache)) and hurt.report().compressions == 0
    assert model.text_config._attn_implementation == implementation
    hurt.watch(iter(frames[hurt.report().frames :]))
    whole.watch(iter(frames))
    assert same(memory_bytes(hurt.cache), memory_bytes(whole.cache))


@pytest.mark.parametrize("name", ["snapkv", "streammem"])
def test_interrupted_at_any_call_the_stream_goes_on_as_if_nothing_had_been(loaded, name):
    model = loaded("qwen2_vl")
    frames, at, implementation = frames_of(model, 6), 1, model.text_config._attn_implementation

    def watched(count):
        session = small_session(model, 5, name, block=1)
        session.watch(iter(frames[:count]))
        return session

    twin = watched(len(frames))
    while True:
        session = watched(10)
        if not Interrupter(at).interrupt(partial(session.watch, frames[10:])):
            break
        session.watch(frames[session.report().frames :])
        assert same(memory_bytes(session.cache), memory_bytes(twin.cache)), f"interrupted at call {at}"
        assert model.text_config._attn_implementation == implementation, f"interrupted at call {at}"
        at += 41
    assert at > 200


@pytest.mark.parametrize("name", NAMES)
def test_nan_among_the_queries_compresses_nothing(loaded, name):
    model = loaded("qwen2_vl")
    frames, session = frames_of(model, 6), small_session(model, 5, name, block=1)
    session.watch(iter(frames[:10]))
    before, damaged = memory_bytes(session.cache), model.hf.get_decoder().layers[2].self_attn.q_proj
    hook = damaged.register_forward_hook(lambda _m, _a, out: out * torch.nan)
    with pytest.raises(NonFiniteError, match="queries of capped layer 2"):
        session.watch(iter(frames[10:]))
    hook.remove()
    assert same(before, memory_bytes(session.cache))
    session.watch(iter(frames[10:]))
    assert session.report().compressions == 1


@pytest.mark.parametrize("name", [name for name in NAMES if name != "snapkv"])
def test_a_room_too_small_for_the_probe_is_refused_before_anything_is_watched(loaded, name):
    model = loaded("qwen2_vl")
    tokens = len(model.prompt.behind(None, [], make_policy(name).probe))
    with pytest.raises(UserError, match=f"{name} shows {tokens} tokens .*at least {tokens} .*--room"):
        Session(model, Budget(tokens=64, room=tokens - 1), name)
    assert Session(model, Budget(tokens=64, room=tokens), name).report().room_tokens == tokens


def test_a_room_too_small_for_a_step_is_refused_at_the_first_frame(loaded):
    model = loaded("qwen2_vl")
    session = Session(model, Budget(tokens=64, room=5), "snapkv", tokens_per_step=8)
    with pytest.raises(UserError, match=r"snapkv shows 6 tokens .*at least 6 .*--room"):
        session.watch(iter(frames_of(model, 1)))
    assert session.report().frames == 0
    just = Session(model, Budget(tokens=24, room=6), "snapkv", tokens_per_step=8)
    just.watch(iter(frames_of(model, 8)))
    assert just.report().compressions > 0


def test_a_loop_of_ones_own_is_told_what_is_needed_and_can_give_it(loaded):
    """A cache cannot run a model: without queries it says so before anything moves."""
    model = loaded("qwen2_vl")
    session = small_session(model, 5, "snapkv", block=1)
    session.watch(iter(frames_of(model, 5)))
    cache, before = session.cache, memory_bytes(session.cache)
    for act in (partial(cache.make_room, 1), partial(cache.compact, 3), partial(cache.compact, 3, {0: torch.ones(1)})):
        with pytest.raises(UserError, match=r"snapkv needs queries .* watch with a Session, or give make_room"):
            act()
    assert same(before, memory_bytes(cache))
    ids = model.prompt.behind(None, [], "What?")
    queries = probe(model, cache, ids, session._at.clock.text_positions(len(ids)), last=4)
    assert same(before, memory_bytes(cache)) and all(query.shape[1] == 4 for query in queries.values())
    cache.make_room(1, queries)
    assert cache.held_tokens == cache.budget.target(1)
    cache.check_integrity()


def test_a_cache_of_ones_own_says_so_in_the_middle_of_an_append(loaded):
    model = loaded("qwen2_vl")
    cache = CappedCache.from_model(model.hf, Budget(tokens=8), "streammem")
    frames, canvas = frames_of(model, 1), model.canvas(90, 140, 8)
    block, clock = model.encode(frames, canvas, first_step=0), model.clock(0, canvas.grid)
    with cache.append(block.steps, block.cells, canvas.grid):
        model.prefill(block, clock.place(block)[0], cache)
    with (
        pytest.raises(UserError, match="streammem needs queries"),
        cache.append(block.steps + 1, block.cells, canvas.grid),
    ):
        raise AssertionError("nothing is run for a step that does not fit")
    assert cache.held_tokens == 6 and cache.counters.compressions == 0


@pytest.mark.parametrize("family", ["qwen2_vl", "smolvlm"])
def test_the_question_that_is_known_changes_what_stays(loaded, family):
    model = loaded(family)
    kept = {}
    for question in ("", "What is on the table?", "Who came in first, and when?"):
        session = small_session(model, 6, make_policy("snapkv", question=question))
        session.watch(iter(frames_of(model, 20)))
        kept[question] = labels(session)
        assert session.ask("What?", decoding=SHORT).tokens > 0
    for one, other in itertools.combinations(kept.values(), 2):
        assert any(not torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_question_with_a_special_token_is_refused_at_the_start(loaded):
    with pytest.raises(UserError, match="special token"):
        small_session(loaded("qwen2_vl"), 6, make_policy("snapkv", question="What is <|im_end|> here?"))


def test_asking_between_two_steps_changes_no_selection(loaded):
    """What an answer leaves in nobody's memory a probe does not see either."""
    model = loaded("qwen2_vl")
    frames = frames_of(model, 8)
    for name in ("snapkv", "streammem"):
        asked, silent = (small_session(model, 5, name, block=1) for _ in range(2))
        for frame in frames:
            asked.watch(frame)
            asked.ask("What is it?", decoding=SHORT)
            silent.watch(frame)
        assert same(memory_bytes(asked.cache), memory_bytes(silent.cache))


@pytest.mark.parametrize("name", NAMES)
def test_bf16_and_other_layer_kinds_are_no_special_case(checkpoint, name):
    """A language model of linear and full layers, in bf16, by an own loop: the linear state is rolled back too."""
    from transformers import AutoModelForCausalLM

    from infinipot_v.queries import recorded_queries
    from tests.core.test_cache import GRID, PREFIX, fill, new_cache, run, tokens_of

    model = AutoModelForCausalLM.from_pretrained(checkpoint("qwen3_5_text"), dtype=torch.bfloat16).eval()
    cache = new_cache(model, policy=name)
    fill(model, cache, 10)
    before = memory_bytes(cache)
    with recorded_queries(model, 6) as queries:
        run(model, tokens_of(6), cache, PREFIX + 10 * GRID.tokens)
    cache.rollback()
    assert same(before, memory_bytes(cache))
    assert 0 < len(queries) == len(cache.capped_layers) < len(cache.layers)
    cache.make_room(GRID.tokens, queries)
    cache.check_integrity()
    assert cache.held_tokens == cache.budget.target(GRID.tokens)
