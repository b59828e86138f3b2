"""Compact positions: keys stored un-rotated, turned to their rank when they are read."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import Budget, Session, load_model
from tests.core.test_exactness import POLICIES, QUESTION, recorded
from tests.oracle.attention import logits_of, ranked, slot_ranks, step_ranks
from tests.plain import noise_frames, streamed_logits
from training.line import flattened


def frequencies(model, pairs):
    text = model.text_config
    dim = text.hidden_size // text.num_attention_heads
    return text.rope_parameters["rope_theta"] ** (-torch.arange(0, dim, 2).double() / dim)[:pairs]


@pytest.fixture(scope="module")
def flat(checkpoint):
    return flattened(load_model(checkpoint("qwen2_vl"), device="cpu"))


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl"])
def mrope(request, checkpoint):
    return load_model(checkpoint(request.param), device="cpu")


@pytest.mark.contract
@pytest.mark.parametrize("policy", [*POLICIES, "full"])
@pytest.mark.parametrize("count", [60, 61])
def test_1d_logits_equal_a_loop_over_heads_with_ranks(flat, policy, count):
    budget = Budget(tokens=60 if policy != "full" else 10)
    session = Session(flat, budget, policy, tokens_per_step=8, block=3)
    streamed, recording = recorded(session, noise_frames(count, seed=3))
    attention = ranked(recording, slot_ranks, frequencies(flat, None))
    oracle = logits_of(flat, recording, attention, torch.zeros_like(recording.positions))
    assert (streamed - oracle).abs().max() <= 1e-5
    most = session.cache.prefix_limit + 60 + session.cache.budget.room
    assert policy == "full" or int(recording.positions.max()) < most
    as_seen = logits_of(flat, recording, None, recording.positions)
    assert policy == "full" or (streamed - as_seen).abs().max() > 1e-2, "the comparison must be able to fail"


@pytest.mark.contract
@pytest.mark.parametrize("policy", [*POLICIES, "full"])
@pytest.mark.parametrize("count", [60, 61])
def test_mrope_logits_equal_a_loop_over_heads_with_ranks(mrope, policy, count):
    budget = Budget(tokens=60 if policy != "full" else 10)
    session = Session(mrope, budget, policy, tokens_per_step=8, block=3, positions="compact")
    streamed, recording = recorded(session, noise_frames(count, fps=1.5, seed=3))
    spacing = 1.0 if mrope.time_rate is None else mrope.time_rate * 2 / 1.5
    attention = ranked(
        recording,
        step_ranks(recording, lambda rank: int(rank * spacing + 1e-4)),
        frequencies(mrope, mrope.text_config.rope_parameters["mrope_section"][0]),
    )
    still = recording.positions.clone()
    still[0] = 0
    assert (streamed - logits_of(mrope, recording, attention, still)).abs().max() <= 1e-5
    as_seen = logits_of(mrope, recording, None, recording.positions)
    assert policy == "full" or (streamed - as_seen).abs().max() > 1e-2, "the comparison must be able to fail"


@pytest.mark.parametrize("block", [1, 3, 16])
@pytest.mark.parametrize("count", [12, 13])
def test_while_all_fits_compact_equals_original(mrope, block, count):
    logits = [
        streamed_logits(
            Session(mrope, Budget(tokens=4096), tokens_per_step=8, positions=positions, block=block),
            noise_frames(count),
            QUESTION,
        )
        for positions in ("compact", "original")
    ]
    assert (logits[0] - logits[1]).abs().max() <= 1e-5


def test_stored_keys_are_never_written_again(flat):
    """Over 1,000 compactions: what a slot holds is bit-identical to what arrived for that step and cell."""
    session = Session(flat, Budget(tokens=7), tokens_per_step=4, block=1)
    layer, arrived = session.cache.capped_layers[1], {}
    frames = noise_frames(2100, height=56, width=56)
    for first in range(0, len(frames), 2):
        before = session.report().steps
        session.watch(iter(frames[first : first + 2]))
        for slot in range(layer.store.held):
            if int(layer.store.steps[0, slot]) == before:
                arrived[before, int(layer.store.cells[0, slot])] = layer.store.stream()[0][:, slot].clone()
    keys, _, steps, cells, _ = layer.store.stream()
    assert session.report().compressions >= 1000
    assert session.report().position < session.cache.prefix_limit + 7 + 512
    for head in range(keys.shape[0]):
        for slot in range(keys.shape[1]):
            assert torch.equal(keys[head, slot], arrived[int(steps[head, slot]), int(cells[head, slot])][head])
