"""The book of what was held, against the tests' own recording; and the attention that follows it."""

from __future__ import annotations

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from infinipot_v import Budget, Decoding, Session, load_model, make_policy
from infinipot_v.verify.masking import Book, Watching, another_attention
from tests.oracle.recording import Recording
from tests.plain import noise_frames


@pytest.mark.parametrize("family", ["qwen2_vl", "internvl"])
def test_the_book_agrees_with_a_recording_of_the_slots(checkpoint, family):
    model = load_model(checkpoint(family), device="cpu")
    policy = Watching(make_policy("infinipot-v"))
    step = model.step_tokens(model.canvas(90, 140))
    session = Session(model, Budget(tokens=4 * step), policy, block=1, positions="original")
    book = Book(policy, [layer.store.shape.heads for layer in session.cache.capped_layers])
    hook = model.hf.get_decoder().register_forward_pre_hook(
        lambda _m, _a, kwargs: book.before(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    with Recording(session).running() as recording:
        session.watch(iter(noise_frames(24)))
        session.ask("What?", decoding=Decoding(max_new_tokens=1))
    hook.remove()
    assert session.report().compressions >= 3
    assert [(piece.start, piece.stop - piece.start) for piece in book.pieces] == [
        (forward.first, forward.count) for forward in recording.forwards
    ]
    for piece, forward in zip(book.pieces, recording.forwards, strict=True):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(piece.seen, forward.seen, strict=True))
    assert all(torch.equal(held, stream) for held, stream in zip(book.held(), recording._stream, strict=True))


def test_the_other_attention_is_in_force_only_inside(checkpoint):
    model = load_model(checkpoint("qwen2_vl"), device="cpu")
    text, before = model.text_config, model.text_config._attn_implementation
    with another_attention(model.hf):
        assert text._attn_implementation in ALL_ATTENTION_FUNCTIONS
        assert text._attn_implementation != before
    assert text._attn_implementation == before
    with pytest.raises(ZeroDivisionError), another_attention(model.hf):
        raise ZeroDivisionError
    assert text._attn_implementation == before
