"""Compact positions: keys stored un-rotated, turned to their rank when they are read."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import Budget, Session
from tests.core.test_exactness import POLICIES, recorded
from tests.families import FIXED, ODD, small_session
from tests.oracle.attention import logits_of, ranked, slot_ranks, step_ranks
from tests.plain import noise_frames
from training.line import flattened


def frequencies(model):
    """Of the axis that is re-assigned: all of them on a line, the first section with M-RoPE."""
    text = model.text_config
    dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    rope = text.rope_parameters
    stretched = rope["factor"] if rope["rope_type"] == "linear" else 1.0
    return (rope["rope_theta"] ** (-torch.arange(0, dim, 2).double() / dim) / stretched)[
        : rope.get("mrope_section", [dim // 2])[0]
    ]


@pytest.mark.contract
@pytest.mark.parametrize("policy", [*POLICIES, "full"])
@pytest.mark.parametrize(("family", "odd"), ODD)
def test_logits_equal_a_loop_over_heads_with_ranks(loaded, policy, family, odd):
    model = loaded(family)
    count = 30 * model.frames_per_step + odd
    session = small_session(model, 10 if policy != "full" else 2, policy, block=3, positions="compact")
    streamed, recording = recorded(session, noise_frames(count, fps=1.5, seed=3))
    still = recording.positions.clone()
    if model.family in FIXED:
        ranks, still = slot_ranks, torch.zeros_like(still)
        most = session.cache.prefix_limit + session.cache.tokens + session.cache.budget.room
        assert policy == "full" or int(recording.positions.max()) < most
    else:
        spacing = 1.0 if model.time_rate is None else model.time_rate * 2 / 1.5
        ranks, still[0] = step_ranks(recording, lambda rank: int(rank * spacing + 1e-4)), 0
    oracle = logits_of(model, recording, ranked(recording, ranks, frequencies(model)), still)
    assert (streamed - oracle).abs().max() <= 1e-5
    as_seen = logits_of(model, recording, None, recording.positions)
    assert policy == "full" or (streamed - as_seen).abs().max() > 1e-2, "the comparison must be able to fail"


def test_stored_keys_are_never_written_again(loaded):
    """Over 1,000 compactions: what a slot holds is bit-identical to what arrived for that step and cell."""
    model = flattened(loaded("qwen2_vl"))
    session = Session(model, Budget(tokens=7), tokens_per_step=4, block=1)
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
