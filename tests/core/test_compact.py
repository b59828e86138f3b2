"""Compact positions: keys stored un-rotated, turned to their rank when they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from infinipot_v import Budget, Decoding, Frame, Session, load_model
from tests.core.test_exactness import POLICIES, recorded
from tests.families import FIXED, ODD, small_session
from tests.oracle.attention import logits_of, ranked, slot_ranks, step_ranks
from tests.plain import noise_frames, recorded_states
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


def logits_after(session, frames):
    """Logits of a question behind so many frames."""
    with recorded_states(session.model) as states, torch.no_grad():
        session.watch(iter(frames))
        states.clear()
        session.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=1))
        return session.model.hf.get_output_embeddings()(torch.cat(states))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "internvl"])
def test_an_interruption_while_positions_are_assigned_is_healed(loaded, family):
    frames = noise_frames(24, seed=5)
    whole, hurt = (small_session(loaded(family), 6, positions="compact", block=1) for _ in range(2))
    rotation = hurt.cache.rotation
    right = rotation.rotary

    def interrupted(_positions):
        rotation.rotary = right
        raise KeyboardInterrupt

    rotation.rotary = replace(right, angles=interrupted)
    with pytest.raises(KeyboardInterrupt):
        hurt.watch(iter(frames[:2]))
    rest = frames[hurt.report().frames :]
    assert torch.equal(logits_after(hurt, rest), logits_after(whole, frames))


def test_a_growth_that_fails_loses_nothing(loaded, monkeypatch):
    frames, empty = noise_frames(40, seed=5), torch.empty
    hurt, whole = (small_session(loaded("qwen2_vl"), 5, "full", positions="compact", block=1) for _ in range(2))
    hurt.watch(iter(frames[:10]))

    def full_device(*size, **options):
        if len(size) == 4:
            raise torch.OutOfMemoryError("out of memory")
        return empty(*size, **options)

    monkeypatch.setattr(torch, "empty", full_device)
    with pytest.raises(torch.OutOfMemoryError):
        hurt.watch(iter(frames[10:]))
    monkeypatch.undo()
    seen = hurt.report().frames
    assert torch.equal(logits_after(hurt, []), logits_after(whole, frames[:seen]))


def test_positions_nobody_takes_are_never_asked_for(checkpoint):
    """A dynamic rotary embedding changes all its frequencies when it is asked for a position beyond its range."""
    model, logits = load_model(checkpoint("internvl", max_position_embeddings=512), device="cpu"), []
    for slots in (70, 400):
        session = Session(model, Budget(tokens=slots, room=64), "full", positions="compact")
        logits.append(logits_after(session, noise_frames(20, seed=5)))
    assert session.cache.stream_slots == 400
    assert (logits[0] - logits[1]).abs().max() <= 1e-5


def test_steps_close_together_at_first_do_not_collapse_time(loaded):
    times = [0.0, 0.02, 0.04, 0.06, *range(4, 40)]
    frames = [Frame(f.pixels, float(t)) for f, t in zip(noise_frames(40), times, strict=True)]
    session = small_session(loaded("qwen2_5_vl"), 8, positions="compact")
    session.watch(iter(frames))
    assert bool((session.cache.rotation._positions.diff() >= 1).all())


@pytest.mark.parametrize(("family", "gap", "limit"), [("qwen2_5_vl", 300.0, 32768), ("qwen2_vl", 1.0, 700)])
def test_compact_positions_have_no_end(checkpoint, family, gap, limit):
    model = load_model(checkpoint(family, max_position_embeddings=limit), device="cpu")
    session = small_session(model, 300, positions="compact", block=8)
    session.watch(iter([Frame(f.pixels, i * gap) for i, f in enumerate(noise_frames(700, height=56, width=56))]))
    session.cache.check_integrity()
    assert session.report().steps == 350 and session.report().position < limit
    assert session.ask("What is it?", decoding=Decoding(max_new_tokens=4)).tokens > 0
