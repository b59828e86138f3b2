"""A saved memory is the same memory: it answers and watches on as if there had been no break, to the bit in float32."""

from __future__ import annotations

import gc

import pytest
import torch

from infinipot_v import Budget, Decoding, Session, UserError, load_model, make_policy, policy_names
from infinipot_v.policies import policy_class
from infinipot_v.reduction import reduction_names
from tests.families import FAMILIES
from tests.saving.memories import alike, differences, logits_of, opened, pictures

CASES = [(family, name) for family in FAMILIES for name in policy_names()]


def halves(session: Session, steps: int = 44, more: int = 5) -> tuple[list, list]:
    """Frames up to a break in the middle of a step, where there can be one, and those behind it."""
    size = session.model.frames_per_step
    frames = pictures((steps + more) * size)
    cut = steps * size + size // 2
    return frames[:cut], frames[cut:]


@pytest.mark.parametrize(("family", "name"), CASES)
def test_every_family_and_every_policy_after_twenty_compactions(loaded, tmp_path, family, name):
    path, session = tmp_path / "day.ivm.safetensors", opened(loaded(family), name)
    before, behind = halves(session)
    session.watch(iter(before))
    assert session.report().compressions >= 20 or not policy_class(name).bounded
    session.ask("What is it?")
    size = session.save(path)
    assert path.stat().st_size == size
    again = Session.load(path, loaded(family))
    assert alike([session, again]) and again.setup == session.setup
    assert again.report().restored == "" and again.dialogue.turns == session.dialogue.turns
    for one in (session, again):
        one.watch(iter(behind))
    assert alike([session, again]) and again.cache.notes == session.cache.notes
    assert again.ask("And now?").text == session.ask("And now?").text


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["original", "compact", "hf"])
@pytest.mark.parametrize("reduce", [None, *reduction_names()])
def test_positions_reductions_and_the_ring_go_with_it(loaded, tmp_path, family, positions, reduce):
    path, session = tmp_path / "day.ivm.safetensors", opened(loaded(family), positions=positions, reduce=reduce, ring=2)
    before, behind = halves(session, steps=14)
    session.watch(iter(before))
    session.save(path)
    again = Session.load(path, loaded(family))
    assert alike([session, again])
    for one in (session, again):
        one.watch(iter(behind))
    assert alike([session, again])


@pytest.mark.parametrize("family", ["qwen2_vl", "smolvlm"])
@pytest.mark.parametrize("frames", [0, 1])
def test_a_memory_of_nothing_and_of_one_frame(loaded, tmp_path, family, frames):
    path, session = tmp_path / "day.ivm.safetensors", opened(loaded(family))
    session.watch(iter(pictures(frames)))
    session.save(path)
    again = Session.load(path, loaded(family))
    assert not differences(session, again)
    for one in (session, again):
        one.watch(iter(pictures(9)[frames:]))
    assert alike([session, again])


def test_tar_on_content_still_finds_the_rotation(loaded, tmp_path):
    """The cache offers policies keys without their time's rotation; a session from a file must offer it, too."""
    path = tmp_path / "day.ivm.safetensors"
    session = opened(loaded("qwen2_5_vl"), make_policy("infinipot-v", tar_keys="content", alpha=1.0))
    before, behind = halves(session, steps=12)
    session.watch(iter(before))
    session.save(path)
    again = Session.load(path, loaded("qwen2_5_vl"))
    for one in (session, again):
        one.watch(iter(behind))
    assert alike([session, again])


def test_saving_changes_nothing_and_ends_an_unfinished_answer(loaded, tmp_path):
    session, other = opened(loaded("qwen2_vl")), opened(loaded("qwen2_vl"))
    for frame in pictures(21):
        session.watch(frame)
        other.watch(frame)
        session.save(tmp_path / "day.ivm.safetensors")
    assert alike([session, other])
    stream = session.stream("What is it?", decoding=Decoding(max_new_tokens=40))
    next(stream)
    session.save(tmp_path / "day.ivm.safetensors")
    assert next(stream, None) is None and alike([session, other])
    assert alike([session, Session.load(tmp_path / "day.ivm.safetensors", loaded("qwen2_vl"))])


def test_saving_while_the_session_asks_its_source_for_more(loaded, tmp_path):
    """What is saved then is the last whole block; the frames behind it, watched again, give the same memory."""
    path, model, frames = tmp_path / "day.ivm.safetensors", loaded("qwen2_vl"), pictures(42)

    def source(session):
        for index, frame in enumerate(frames):
            yield frame
            if index == 29:
                session.save(path)

    session = opened(model)
    session.watch(source(session))
    again = Session.load(path, model)
    again.watch([frame for frame in frames if frame.seconds > again._at.newest])
    assert alike([session, again])


def test_other_dtypes_are_possible_and_said(checkpoint, tmp_path):
    path = tmp_path / "day.ivm.safetensors"
    model, half = (load_model(checkpoint("qwen2_vl"), device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    session = opened(model, ring=1)
    session.watch(iter(pictures(31)))
    session.save(path)
    again = Session.load(path, half)
    assert again.report().restored == "made in float32 on cpu, here in bfloat16 on cpu"
    assert torch.equal(again.cache.capped_layers[0].keys, session.cache.capped_layers[0].keys.bfloat16())
    assert (logits_of(again) - logits_of(session)).abs().max() < 0.1 * logits_of(session).abs().max()
    again.watch(iter(pictures(60)[31:]))
    again.cache.check_integrity()
    again.save(path)
    assert "made in bfloat16" in Session.load(path, model).report().restored


def test_a_smaller_budget_trims(loaded, tmp_path):
    path, session = tmp_path / "day.ivm.safetensors", opened(loaded("smolvlm"))
    session.watch(iter(pictures(20)))
    session.save(path)
    tokens = session.cache.tokens // 2
    small = Session.load(path, loaded("smolvlm"), budget=Budget(tokens=tokens))
    session.compact(tokens)
    assert (
        small.cache.held_tokens == tokens == small.cache.tokens
        and small.report().cap_bytes < session.report().cap_bytes
    )
    assert torch.equal(logits_of(small), logits_of(session))
    small.watch(iter(pictures(30)[20:]))
    small.cache.check_integrity()
    with pytest.raises(UserError, match="give less"):
        Session.load(path, loaded("smolvlm"), budget=Budget(tokens=session.cache.tokens))


class TestFork:
    def test_shares_nothing_that_changes(self, loaded):
        model = loaded("qwen2_vl")
        session, alone = opened(model, concurrent=1, ring=1, reduce="near-duplicates"), opened(model, ring=1)
        frames = pictures(60)
        session.watch(iter(frames[:31]))
        fork = session.fork()
        assert alike([session, fork])
        fork.watch(iter(frames[31:]))
        fork.ask("What is it?")
        alone.watch(iter(frames[:31]))
        assert torch.equal(logits_of(session), logits_of(alone)) and session.dialogue.turns == []
        session.watch(iter(frames[31:]))
        fork.dialogue.turns.clear()
        assert alike([session, fork])

    def test_is_counted(self, loaded):
        session, one = opened(loaded("qwen2_vl"), concurrent=2), opened(loaded("qwen2_vl"))
        session.watch(iter(pictures(30)))
        assert session.report().cap_bytes == 3 * one.report().cap_bytes
        forks = [session.fork(), session.fork()]
        assert session.report().nbytes == 3 * forks[0].report().nbytes <= session.report().cap_bytes
        with pytest.raises(UserError, match="concurrent="):
            session.fork()
        del forks[0]
        gc.collect()
        forks.append(session.fork())
        with pytest.raises(UserError, match="0 of 0 forks"):
            forks[0].fork()

    def test_a_budget_in_bytes_holds_the_forks_too(self, loaded):
        session = Session(loaded("qwen2_vl"), Budget(bytes=2**22), tokens_per_step=8, concurrent=3)
        assert session.report().cap_bytes <= 2**22
        session.watch(iter(pictures(30)))
        forks = [session.fork() for _ in range(3)]
        assert session.report().nbytes <= session.report().cap_bytes and len(forks) == 3


def test_a_failed_restore_changes_nothing(loaded):
    session, other = opened(loaded("qwen2_vl")), opened(loaded("smolvlm"))
    for one in (session, other):
        one.watch(iter(pictures(21)))
    before = logits_of(session)
    with pytest.raises(UserError):
        session.restore(other.state())
    assert torch.equal(before, logits_of(session))
