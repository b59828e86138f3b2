"""What the core promises, for every family in the registry; a new adapter is checked here without a new line."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import Decoding, load_model
from tests.core.test_cache import memory_bytes, same
from tests.families import FAMILIES, small_session
from tests.plain import noise_frames

pytestmark = pytest.mark.contract
SHORT = Decoding(max_new_tokens=6)


@pytest.fixture(params=FAMILIES)
def model(request, loaded):
    return loaded(request.param)


def frames_of(model, steps, odd=0):
    return noise_frames(steps * model.frames_per_step + odd, seed=2)


class Stop(Exception):
    """Raised in the middle of a forward."""


def stop(*_):
    raise Stop


def test_answers_whole_cancelled_and_failing_leave_no_trace(model):
    session = small_session(model, 5)
    session.watch(iter(frames_of(model, 14, odd=model.frames_per_step - 1)))
    before = memory_bytes(session.cache)
    first = session.ask("What is it?", remember=False, decoding=SHORT)
    pieces = session.stream("And now?", decoding=SHORT)
    next(pieces, None)
    pieces.close()
    hook = model.hf.get_decoder().layers[1].register_forward_hook(stop)
    with pytest.raises(Stop):
        session.ask("And then?")
    hook.remove()
    assert same(before, memory_bytes(session.cache)) and session.dialogue.turns == []
    assert session.ask("What is it?", remember=False, decoding=SHORT).text == first.text


def test_a_failing_step_is_not_watched_and_can_be_watched_again(model):
    frames = frames_of(model, 14)
    session, whole = small_session(model, 5), small_session(model, 5)
    session.watch(iter(frames[: len(frames) // 2]))
    hook = model.hf.get_decoder().layers[1].register_forward_hook(stop)
    steps = session.report().steps
    with pytest.raises(Stop):
        session.watch(iter(frames[len(frames) // 2 :]))
    hook.remove()
    assert session.report().steps == steps
    session.watch(iter(frames[session.report().frames :]))
    whole.watch(iter(frames))
    assert same(memory_bytes(session.cache), memory_bytes(whole.cache))
    assert session.ask("And?", decoding=SHORT).text == whole.ask("And?", decoding=SHORT).text


@pytest.mark.parametrize(("steps", "keep"), [(1, 0.75), (1.5, 0.1), (4, 1.0), (6.3, 0.5)])
def test_any_budget_and_keep_work_under_the_cap(model, steps, keep):
    session = small_session(model, steps, keep=keep)
    session.watch(iter(frames_of(model, 12)))
    session.cache.check_integrity()
    report = session.report()
    assert report.compressions > 0 and report.held_tokens <= report.budget_tokens
    assert report.nbytes == report.cap_bytes


@pytest.mark.parametrize("policy", ["infinipot-v", "uniform"])
def test_bf16_is_finite_from_end_to_end(model, policy, checkpoint):
    half = load_model(checkpoint(model.family), device="cpu", dtype="bfloat16")
    session = small_session(half, 5, policy)
    session.watch(iter(frames_of(half, 20)))
    session.cache.check_integrity()
    for layer in session.cache.capped_layers:
        keys, values = layer.store.filled()
        assert keys.dtype is torch.bfloat16 and bool(keys.isfinite().all()) and bool(values.isfinite().all())
    assert session.ask("What is it?", decoding=SHORT).tokens > 0
