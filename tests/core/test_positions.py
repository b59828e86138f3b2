"""The clock, and keys without the rotation of their time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infinipot_v import Budget, Session, load_model, make_policy
from infinipot_v.positions import MRopeClock, without_rotation
from infinipot_v.types import Block, Grid, UserError
from tests.plain import noise_frames


def block(seconds: list[float], grid: Grid, first: int = 0) -> Block:
    n = len(seconds)
    steps = torch.arange(first, first + n).repeat_interleave(grid.tokens)
    return Block(torch.zeros(n * grid.tokens, 1), steps, torch.arange(grid.tokens).repeat(n), tuple(seconds))


@given(
    st.integers(1, 40), st.floats(0.1, 30), st.one_of(st.none(), st.sampled_from([1.0, 2.0, 25.0])), st.integers(1, 7)
)
def test_placing_in_pieces_equals_placing_at_once(steps, fps, rate, piece):
    grid = Grid(2, 3)
    seconds = [2 * index / fps for index in range(steps)]
    whole, clock = MRopeClock(5, grid=grid, rate=rate).place(block(seconds, grid))
    pieces, going = [], MRopeClock(5, grid=grid, rate=rate)
    for first in range(0, steps, piece):
        positions, going = going.place(block(seconds[first : first + piece], grid, first))
        pieces.append(positions)
    assert torch.equal(whole, torch.cat(pieces, -1)) and going == clock
    assert clock.next_text == int(whole.max()) + 1


@given(st.lists(st.floats(0.05, 50), min_size=1, max_size=30), st.floats(0, 1e5))
def test_absolute_time_follows_the_timestamps_not_their_origin(gaps, origin):
    grid, seconds, moment = Grid(1, 1), [], 0.0
    for gap in gaps:
        seconds.append(moment)
        moment += gap
    positions, _ = MRopeClock(0, grid=grid, rate=2.0).place(block(seconds, grid))
    shifted, _ = MRopeClock(0, grid=grid, rate=2.0).place(block([origin + s for s in seconds], grid))
    times = positions[0, 0].tolist()
    assert all(abs(time - 2 * s) < 1 for time, s in zip(times, seconds, strict=True))
    assert all(abs(a - b) <= 1 for a, b in zip(times, shifted[0, 0].tolist(), strict=True)), "rounding of large floats"


def test_time_cannot_go_back_before_the_start():
    grid = Grid(1, 1)
    _, clock = MRopeClock(0, grid=grid, rate=2.0).place(block([5.0], grid))
    with pytest.raises(UserError, match="ascend"):
        clock.place(block([1.0], grid, 1))


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_content_keys_undo_the_models_own_temporal_rotation(checkpoint, family):
    from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb

    model = load_model(checkpoint(family), device="cpu")
    content = torch.randn(1, 1, 1, 16).expand(1, 2, 9, 16)
    clock = MRopeClock(7, grid=Grid(1, 1), rate=model.time_rate)
    positions, clock = clock.place(block([1.5 * i for i in range(9)], Grid(1, 1)))
    cos, sin = model.hf.get_decoder().rotary_emb(content, positions)
    _, stored = apply_rotary_pos_emb(content, content, cos, sin)
    assert (stored[0, :, 1:] - stored[0, :, :-1]).abs().max() > 0.1
    undone = without_rotation(stored[0], clock.positions_of(torch.arange(9)).expand(2, 9), model.rotary())
    assert (undone - undone[:, :1]).abs().max() < 1e-5


def test_tar_on_content_keys_keeps_other_slots(checkpoint):
    model, kept = load_model(checkpoint("qwen2_vl"), device="cpu"), []
    for keys in ("stored", "content"):
        policy = make_policy("infinipot-v", tar_keys=keys)
        session = Session(model, Budget(tokens=60), policy, tokens_per_step=8)
        session.watch(iter(noise_frames(120)))
        session.cache.check_integrity()
        kept.append(torch.stack([layer.store.steps for layer in session.cache._capped]))
    assert not torch.equal(*kept)
