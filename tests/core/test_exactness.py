"""Points 1 to 3 of the core: streamed logits against plain Hugging Face, before and after eviction."""

from __future__ import annotations

import itertools

import pytest
import torch

from infinipot_v import Budget, Decoding, Session, make_policy
from tests.families import FAMILIES, ODD, small_session
from tests.oracle.attention import logits_of, masked
from tests.oracle.recording import Recording
from tests.plain import looped_positions, noise_frames, plain_logits, recorded_states, streamed_logits

QUESTION = "What is on the table?"


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, loaded):
    return loaded(request.param)


@pytest.mark.contract
@pytest.mark.parametrize(
    ("positions", "block"), [("original", 1), ("original", 3), ("original", 16), ("hf", 3), ("compact", 3)]
)
@pytest.mark.parametrize(
    ("count", "size", "fps"), [(12, (90, 140), 1.0), (13, (200, 80), 1.5), (5, (64, 64), 0.7), (9, (90, 140), 4.0)]
)
def test_streamed_logits_equal_the_plain_forward(model, positions, block, count, size, fps):
    frames = noise_frames(count, fps, *size)
    session = small_session(model, 20, positions=positions, block=block)
    streamed = streamed_logits(session, frames, QUESTION)
    plain = plain_logits(session, frames, QUESTION, own_positions=positions == "hf", fps=fps)
    assert streamed.shape == plain.shape
    assert (streamed - plain).abs().max() <= 1e-5
    assert plain.std() > 0.3, "logits without a spread would pass any comparison"


def test_wrong_positions_are_seen(loaded):
    frames, model = noise_frames(12), loaded("qwen2_vl")
    session = Session(model, Budget(tokens=4096), tokens_per_step=8, positions="hf")
    streamed = streamed_logits(session, frames, QUESTION)
    assert (streamed - plain_logits(session, frames, QUESTION, own_positions=False)).abs().max() > 1e-3


POLICIES = ("infinipot-v", "uniform", "random", "sliding-window", "infinipot-v-code")


@pytest.mark.contract
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("family", "odd"), ODD)
def test_after_eviction_logits_equal_a_masked_full_cache(loaded, policy, family, odd):
    model = loaded(family)
    count = 30 * model.frames_per_step + odd
    session = small_session(model, 10, policy, block=3, positions="original")
    streamed, recording = recorded(session, noise_frames(count, seed=3))
    positions = looped_positions(session, count, streamed.shape[0], 1.0)
    assert torch.equal(recording.positions, positions)
    oracle = logits_of(model, recording, masked(recording), positions)
    assert (streamed - oracle).abs().max() <= 1e-5
    unmasked = logits_of(model, recording, None, positions)
    assert (streamed - unmasked).abs().max() > 1e-2, "the comparison must be able to fail"


def recorded(session, frames):
    """Logits of everything a session runs while it watches frames and answers, and the recording of it."""
    with Recording(session).running() as recording, recorded_states(session.model) as states, torch.no_grad():
        session.watch(iter(frames))
        session.ask(QUESTION, remember=False, decoding=Decoding(max_new_tokens=4))
        logits = session.model.hf.get_output_embeddings()(torch.cat(states))
    assert session.report().compressions >= 5 or not session.cache.policy.bounded
    session.cache.check_integrity()
    return logits, recording


def kept_slots(model, frames, blocks, **options):
    """Labels of all slots after watching `frames`, `block` steps at a time."""
    for block in blocks:
        session = small_session(model, 8.3, make_policy("infinipot-v", **options), block=block)
        session.watch(iter(frames))
        session.cache.check_integrity()
        yield [
            torch.stack([layer.store.steps, layer.store.cells.int()])[..., : layer.store.held].clone()
            for layer in session.cache._capped
        ]


@pytest.mark.parametrize("options", [{}, {"pooling": "off", "alpha": 0.8}, {"recent": 0.4, "alpha": 1.0}])
def test_the_block_size_changes_nothing(model, options):
    frames = noise_frames(32 * model.frames_per_step - 1, seed=5)
    for one, other in itertools.pairwise(kept_slots(model, frames, (1, 2, 7, 64), **options)):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_frame_by_frame_equals_all_at_once(model):
    frames = noise_frames(41, seed=6)
    single = small_session(model, 8.3)
    for frame in frames:
        single.watch(frame.pixels, seconds=frame.seconds)
    together = small_session(model, 8.3)
    together.watch(iter(frames))
    assert all(
        torch.equal(a.store.steps, b.store.steps) and torch.equal(a.store.cells, b.store.cells)
        for a, b in zip(single.cache._capped, together.cache._capped, strict=True)
    )
    waiting = 41 % model.frames_per_step
    assert single.report().waiting_frames == together.report().waiting_frames == waiting
