"""Asking leaves no trace, watching is all or nothing, and a dialogue fits its room."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
import torch

from infinipot_v import Budget, Decoding, Frame, Session, UserError, load_model
from infinipot_v.models.base import Model
from infinipot_v.positions import StreamTooLong
from infinipot_v.types import RoomFull
from tests.core.test_cache import Stop, memory_bytes, same
from tests.plain import noise_frames

SHORT = Decoding(max_new_tokens=6)


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_model(checkpoint("qwen2_vl"), device="cpu")


@pytest.fixture(params=[30, 31], ids=["even", "odd"])
def session(model, request):
    session = Session(model, Budget(tokens=40), tokens_per_step=8, decoding=SHORT)
    session.watch(iter(noise_frames(request.param)))
    assert session.report().compressions > 2
    return session


def test_asking_twice_gives_the_same_answer_and_leaves_no_trace(session):
    before = memory_bytes(session.cache)
    first = session.ask("What is it?", remember=False)
    second = session.ask("What is it?", remember=False)
    assert first.text == second.text and first.tokens == second.tokens == 6
    assert same(before, memory_bytes(session.cache))
    assert session.dialogue.turns == []


def test_a_cancelled_answer_leaves_no_trace(session):
    before = memory_bytes(session.cache)
    whole = session.ask("What is it?", remember=False).text
    stream = session.stream("What is it?", decoding=Decoding(max_new_tokens=40))
    next(stream)
    assert session.cache.room_left < session.cache.budget.room
    stream.close()
    assert session.cache.room_left == session.cache.budget.room
    assert same(before, memory_bytes(session.cache)) and session.dialogue.turns == []
    assert session.ask("What is it?", remember=False).text == whole


def test_a_dropped_generator_leaves_no_trace(session):
    before = memory_bytes(session.cache)
    stream = session.stream("What is it?", decoding=Decoding(max_new_tokens=40))
    next(stream)
    del stream
    gc.collect()
    assert session.cache.room_left == session.cache.budget.room
    assert same(before, memory_bytes(session.cache)) and session.dialogue.turns == []


def test_an_answer_that_fails_leaves_no_trace(session, monkeypatch):
    before = memory_bytes(session.cache)
    whole = session.ask("What is it?", remember=False).text
    calls, real = [], Model.next_logits

    def failing(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise Stop
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "next_logits", failing)
        with pytest.raises(Stop):
            session.ask("What is it?")
    assert same(before, memory_bytes(session.cache)) and session.dialogue.turns == []
    assert session.ask("What is it?", remember=False).text == whole


def test_watching_on_ends_an_unfinished_answer(session):
    stream = session.stream("What is it?", decoding=Decoding(max_new_tokens=40))
    next(stream)
    last = session._at.waiting[-1].seconds if session._at.waiting else session._at.last_seconds
    session.watch([Frame(f.pixels, last + 1 + f.seconds) for f in noise_frames(4, seed=9)])
    session.cache.check_integrity()
    with pytest.raises(StopIteration):
        next(stream)


def test_a_failing_step_is_not_watched_and_can_be_watched_again(model):
    frames = noise_frames(40, seed=2)
    session = Session(model, Budget(tokens=40), tokens_per_step=8)
    session.watch(iter(frames[:21]))
    report = session.report()
    hook = model.hf.get_decoder().layers[2].register_forward_hook(_interrupt)
    with pytest.raises(Stop):
        session.watch(frames[21])
    hook.remove()
    assert session.report().steps == report.steps and session.report().waiting_frames == 1
    session.watch(iter(frames[21:]))
    whole = Session(model, Budget(tokens=40), tokens_per_step=8)
    whole.watch(iter(frames))
    assert same(memory_bytes(session.cache), memory_bytes(whole.cache))
    assert session.ask("And?", decoding=SHORT).text == whole.ask("And?", decoding=SHORT).text


def _interrupt(*_):
    raise Stop


def test_the_dialogue_is_text_that_follows_the_video(session):
    first = session.ask("What is it?")
    follow = session.ask("Where is it?")
    assert session.dialogue.turns == [("What is it?", first.text), ("Where is it?", follow.text)]
    session.dialogue.turns.clear()
    assert session.ask("Where is it?").text != follow.text, "the history must matter"


def test_the_oldest_turns_drop_when_the_room_is_full(model):
    session = Session(model, Budget(tokens=40, room=200), tokens_per_step=8, decoding=SHORT)
    session.watch(iter(noise_frames(20)))
    answers = [session.ask("What is on the table now?") for _ in range(6)]
    assert answers[0].dropped_turns == 0 and answers[-1].dropped_turns > 0
    assert answers[-1].tokens == 6


def test_a_question_longer_than_the_room_says_how_to_raise_it(model):
    session = Session(model, Budget(tokens=40, room=30), tokens_per_step=8, decoding=SHORT)
    session.watch(iter(noise_frames(20)))
    with pytest.raises(RoomFull, match="--room") as error:
        session.ask("What is on the table now, and who put it there, and why would anybody do that?")
    needed = int(str(error.value).split("at least ")[1].split()[0])
    larger = Session(model, Budget(tokens=40, room=needed), tokens_per_step=8, decoding=SHORT)
    larger.watch(iter(noise_frames(20)))
    answer = larger.ask("What is on the table now, and who put it there, and why would anybody do that?")
    assert answer.finish == "length" and answer.tokens == 6


def test_an_answer_shortens_to_the_room(model):
    session = Session(model, Budget(tokens=40, room=40), tokens_per_step=8)
    session.watch(iter(noise_frames(20)))
    answer = session.ask("What?", decoding=Decoding(max_new_tokens=500))
    assert answer.finish == "room" and 1 <= answer.tokens < 40


def test_a_waiting_frame_is_seen_and_goes_on_waiting(model):
    frames = noise_frames(9, seed=4)
    even, odd = (Session(model, Budget(tokens=400), tokens_per_step=8, decoding=SHORT) for _ in range(2))
    even.watch(iter(frames[:8]))
    odd.watch(iter(frames))
    assert odd.report().waiting_frames == 1 and odd.report().steps == even.report().steps
    texts = {s.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=20)).text for s in (even, odd)}
    assert len(texts) == 2
    assert same(memory_bytes(even.cache), memory_bytes(odd.cache))


def test_stop_strings_and_streamed_pieces_agree(session):
    whole = session.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=30))
    pieces = session.stream("What is it?", remember=False, decoding=Decoding(max_new_tokens=30))
    assert "".join(pieces) == whole.text
    printable = [c for c in whole.text if c.isascii() and c.isprintable()]
    mark = printable[len(printable) // 2]
    stopped = session.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=30, stop=(mark,)))
    assert stopped.text == whole.text[: whole.text.index(mark)] and stopped.finish == "stop"


def test_sampling_is_repeatable_and_differs_from_greedy(session):
    greedy = session.ask("What is it?", remember=False, decoding=Decoding(20)).text
    hot = Decoding(20, temperature=2.0, top_p=0.95, top_k=50, repetition_penalty=1.1, seed=1)
    one, two = (session.ask("What is it?", remember=False, decoding=hot).text for _ in range(2))
    assert one == two != greedy


def test_the_checkpoints_own_decoding(model):
    own = Decoding.of_checkpoint(model, 9)
    assert (own.max_new_tokens, own.top_k, own.temperature) == (9, 1, 0.1)


def test_one_frame_is_enough(model):
    session = Session(model, Budget(tokens=40), tokens_per_step=8, decoding=SHORT)
    session.watch(noise_frames(1)[0])
    assert session.report().frames == session.report().waiting_frames == 1
    assert session.ask("What is it?").tokens == 6


def test_a_budget_of_exactly_one_step(model):
    session = Session(model, Budget(tokens=6), tokens_per_step=8, decoding=SHORT)
    session.watch(iter(noise_frames(20)))
    report = session.report()
    assert (report.held_tokens, report.compressions) == (6, 9)
    session.ask("What is it?")


def test_frames_of_another_size_are_letterboxed_and_counted(model):
    session = Session(model, Budget(tokens=40), tokens_per_step=8)
    session.watch(iter(noise_frames(4)))
    session.watch([Frame(f.pixels, 10 + f.seconds) for f in noise_frames(4, height=200, width=100)])
    assert session.report().letterboxed_frames == 4


def test_bytes_are_a_cap(model):
    session = Session(model, Budget(bytes=1_000_000), tokens_per_step=8)
    report = session.report()
    assert report.nbytes == report.cap_bytes <= 1_000_000
    one_more = Session(model, Budget(tokens=report.budget_tokens + 1), tokens_per_step=8)
    assert one_more.report().cap_bytes > 1_000_000


def test_the_end_of_the_trained_range_is_announced_and_refused(model, monkeypatch):
    monkeypatch.setattr(model.hf.config.get_text_config(), "max_position_embeddings", 100)
    session = Session(model, Budget(tokens=40, room=20), tokens_per_step=8, decoding=SHORT)
    with pytest.warns(UserWarning, match="80 %"), pytest.raises(StreamTooLong, match="100"):
        session.watch(iter(noise_frames(200)))
    report = session.report()
    assert report.position == 99 - 20
    assert report.steps == 100 - 20 - report.prefix_tokens
    assert session.ask("So?").tokens > 0, "a stream at its end can still be asked"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.ask(" "), "empty"),
        (lambda s: s.ask("hi <|im_end|>"), "special token"),
        (lambda s: s.watch(np.zeros((4, 4), np.uint8), seconds=99), "uint8"),
        (lambda s: s.watch(np.zeros((40, 40, 3), np.uint8)), "seconds"),
        (lambda s: s.watch(noise_frames(1)[0]), "ascend"),
        (lambda s: s.watch(7), "cannot watch"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(session, call, says):
    before, report = memory_bytes(session.cache), session.report()
    with pytest.raises(UserError, match=says) as error:
        call(session)
    assert "\n" not in str(error.value)
    assert same(before, memory_bytes(session.cache)) and session.report().frames == report.frames


def test_bad_sessions(model):
    fresh = Session(model, Budget(tokens=40), tokens_per_step=8)
    with pytest.raises(UserError, match="nothing has been watched"):
        fresh.ask("What?")
    with pytest.raises(UserError, match="below one step"):
        Session(model, Budget(tokens=5), tokens_per_step=8).watch(iter(noise_frames(2)))
    with pytest.raises(UserError, match="positions"):
        Session(model, positions="other")
    with pytest.raises(UserError, match="infinipot-v"):
        Session(model, policy="infinipotv")
    with pytest.raises(UserError, match="at least"):
        Session(model, Budget(bytes=1000))


def test_system_prompt_and_attention_implementations(checkpoint):
    frames, texts = noise_frames(20), set()
    for implementation in ("sdpa", "eager"):
        model = load_model(checkpoint("qwen2_vl"), device="cpu", attn_implementation=implementation)
        session = Session(model, Budget(tokens=40), tokens_per_step=8, decoding=SHORT)
        session.watch(iter(frames))
        texts.add(session.ask("What is it?").text)
    assert len(texts) == 1
    other = Session(model, Budget(tokens=40), system="Answer in French.", tokens_per_step=8, decoding=SHORT)
    other.watch(iter(frames))
    assert other.report().prefix_tokens != session.report().prefix_tokens


def test_device_map_and_bfloat16(checkpoint):
    model = load_model(checkpoint("qwen2_vl"), dtype="bfloat16", device_map={"": "cpu"})
    session = Session(model, Budget(tokens=40), tokens_per_step=8, decoding=SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.watch(iter(noise_frames(30)))
    assert session.cache._capped[0].store.keys.dtype == torch.bfloat16
    assert session.ask("What is it?").tokens == 6
