"""Logits of all that retrieval runs, against plain Hugging Face and against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infinipot_v import Decoding, Frame, load_model
from infinipot_v.positions import StreamTooLong
from tests.families import FAMILIES, FIXED, ODD
from tests.oracle.retrieval import Looped, running
from tests.plain import noise_frames, plain_logits, streamed_logits
from tests.retrieval.sessions import small_rekv

pytestmark = pytest.mark.contract
QUESTION = "What is on the table?"
SHORT = Decoding(max_new_tokens=4)


@pytest.mark.parametrize("block", [1, 5])
@pytest.mark.parametrize(("family", "odd"), ODD)
def test_with_a_window_for_everything_logits_equal_the_plain_forward(loaded, family, odd, block):
    model = loaded(family)
    frames = noise_frames(6 * model.frames_per_step + odd, fps=1.5)
    session = small_rekv(model, 20, block=block)
    streamed = streamed_logits(session, frames, QUESTION)
    plain = plain_logits(session, frames, QUESTION, own_positions=False, fps=1.5)
    assert streamed.shape == plain.shape and plain.std() > 0.3
    assert (streamed - plain).abs().max() <= 1e-5


def different_frames(count, fps):
    """No picture twice: equal ones would tie, and a tie is decided by rounding."""
    rng = np.random.default_rng(3)
    return [Frame(rng.integers(0, 255, (90, 140, 3), dtype=np.uint8), index / fps) for index in range(count)]


def compared(model, steps, odd, window, blocks, **options):
    """The session, its logits and chosen steps, and the oracle, which has run."""
    frames = different_frames(steps * model.frames_per_step + odd, fps=1.5)
    session, chosen = small_rekv(model, window, blocks, **options), []
    forget = session.cache.rollback
    session.cache.rollback = lambda: (chosen.append(session.cache.chosen), forget())
    with running(model) as ran, torch.no_grad():
        session.watch(iter(frames))
        session.ask(QUESTION, decoding=SHORT)
        logits = model.hf.get_output_embeddings()(torch.cat(ran.states))
    ranked = session.report().policy.endswith("'compact')")
    return session, logits, chosen[-1], Looped(model, ran, steps, session.cache.local, blocks, ranked)


@pytest.mark.parametrize(("window", "blocks"), [(3.5, 3), (2, 50)])
@pytest.mark.parametrize(("family", "odd"), ODD)
def test_logits_and_what_is_fetched_equal_a_loop(loaded, family, odd, window, blocks):
    model = loaded(family)
    session, logits, chosen, oracle = compared(model, 10, odd, window, blocks)
    assert (logits - oracle.logits()).abs().max() <= 1e-5
    assert [list(steps) for steps in chosen] == oracle.chosen
    held = session.cache.window_steps
    assert int(window) <= held < 10 and len(chosen[0]) == min(blocks, 10 - held)
    assert blocks == 50 or len(set(chosen)) > 1, "layers that all choose alike would hide a mix-up"
    oracle.local = 0
    assert (logits - oracle.logits()).abs().max() > 1e-2, "the comparison must be able to fail"


@pytest.mark.parametrize("family", FIXED)
def test_positions_on_one_line_can_be_the_original_ones(loaded, family):
    _, logits, _, oracle = compared(loaded(family), 9, 0, 2, 3, positions="original")
    assert not oracle.ranked and (logits - oracle.logits()).abs().max() <= 1e-5


def test_compact_positions_have_no_end_and_original_ones_have(checkpoint):
    model = load_model(checkpoint("llava_onevision", max_position_embeddings=120), device="cpu")
    frames = noise_frames(60)
    session = small_rekv(model, 3, 4, room=64)
    session.watch(iter(frames))
    assert session.report().held_tokens > 120 > session.report().position
    assert session.ask("What is it?", decoding=SHORT).tokens > 0
    ending = small_rekv(model, 3, 4, room=64, positions="original")
    with pytest.raises(StreamTooLong, match="120 positions"):
        ending.watch(iter(frames))
    assert 0 < ending.report().steps < 60
    assert ending.ask("What is it?", decoding=SHORT).tokens > 0, "what was watched can still be asked about"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_kept_is_what_the_model_computed(loaded, family, tmp_path):
    """Layer 0 sees nothing of the others, so its keys and values are those of the plain model's own projections."""
    model = loaded(family)
    frames = noise_frames(5 * model.frames_per_step)
    attention = model.hf.get_decoder().layers[0].self_attn
    heard = {"k_proj": [], "v_proj": []}
    hooks = [
        getattr(attention, name).register_forward_hook(lambda _m, _a, out, kept=kept: kept.append(out[0].clone()))
        for name, kept in heard.items()
    ]
    kept = []
    for where in ("memory", tmp_path):
        with small_rekv(model, 1.5, where=where, positions="compact" if family in FIXED else None) as session:
            session.watch(iter(frames))
            blocks = [layer.shelf.get(index) for layer in session.cache.layers for index in range(5)]
            kept.append([(block.keys.clone(), block.values.clone()) for block in blocks])
    for hook in hooks:
        hook.remove()
    assert all(torch.equal(a, b) for one, other in zip(*kept, strict=True) for a, b in zip(one, other, strict=True))
    for step in range(5):
        keys, values = kept[0][step]
        assert torch.equal(values, heard["v_proj"][1 + step].unflatten(-1, (len(values), -1)).transpose(0, 1))
        content = heard["k_proj"][1 + step].unflatten(-1, (len(keys), -1)).transpose(0, 1)
        assert torch.equal(keys, content) == (family in FIXED), "kept un-rotated only where they are turned on reading"
