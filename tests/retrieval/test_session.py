"""A session that keeps everything: no trace of a question, whole steps or none, and figures that are true."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from infinipot_v import Decoding, Frame, Session, load_model
from infinipot_v.cache.checks import NonFiniteError
from infinipot_v.models.base import Model
from infinipot_v.retrieval import ReKV
from infinipot_v.retrieval.shelves import MemoryShelf
from infinipot_v.types import RoomFull, UserError
from tests.families import FAMILIES, FIXED
from tests.plain import noise_frames
from tests.retrieval.sessions import resolution, small_rekv, step_tokens

SHORT = Decoding(max_new_tokens=5)


@pytest.fixture(params=FAMILIES)
def model(request, loaded) -> Model:
    return loaded(request.param)


def frames_of(model, steps, odd=0):
    return noise_frames(steps * model.frames_per_step + odd, seed=2)


def everything(session):
    """All bytes that a session holds, wherever they lie."""
    held = []
    for layer, shelf in zip(session.cache.layers, session.cache.shelves.layers, strict=True):
        pieces = [layer.prefix, layer.fetched, layer.room, *layer.window]
        pieces += [shelf.get(index) for index in range(len(session.cache.lengths))]
        held += [tensor.clone() for piece in pieces for tensor in piece.tensors()] + [m.clone() for m in layer.means]
    return held


def same(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Stop(Exception):
    """Raised in the middle of a forward."""


@contextmanager
def stopping(model, layer=1):
    def stop(*_):
        raise Stop

    hook = model.hf.get_decoder().layers[layer].register_forward_hook(stop)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.contract
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_answers_leave_no_trace_and_repeat(model, where, tmp_path):
    with small_rekv(model, 2, where=tmp_path if where == "disk" else where) as session:
        session.watch(iter(frames_of(model, 9, odd=model.frames_per_step - 1)))
        before, rooms = everything(session), session.report().working_bytes
        first = session.ask("What is it?", remember=False, decoding=SHORT)
        other = session.ask("Where was the red one?", remember=False, decoding=SHORT)
        with stopping(model), pytest.raises(Stop):
            session.ask("And then?")
        assert same(before, everything(session)) and session.report().working_bytes == rooms
        assert session.dialogue.turns == []
        assert session.ask("What is it?", remember=False, decoding=SHORT).text == first.text
        assert session.ask("Where was the red one?", decoding=SHORT).text == other.text
        assert [asked for asked, _ in session.dialogue.turns] == ["Where was the red one?"]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_on_the_model(model):
    attention = model.hf.get_decoder().layers[0].self_attn
    session = small_rekv(model, 2)
    session.watch(iter(frames_of(model, 4)))
    session.ask("What is it?", decoding=SHORT)
    with stopping(model), pytest.raises(Stop):
        session.watch(iter(Frame(f.pixels, f.seconds + 100) for f in frames_of(model, 2)))
    assert not attention.q_proj._forward_hooks and not attention.k_proj._forward_hooks


@pytest.mark.contract
def test_memory_and_disk_hold_and_answer_the_same(model, tmp_path):
    memory, disk = small_rekv(model, 2), small_rekv(model, 2, where=tmp_path)
    for session in (memory, disk):
        session.watch(iter(frames_of(model, 8)))
    assert same(everything(memory), everything(disk))
    replies = {session.ask("What is it?", decoding=SHORT).text for session in (memory, disk)}
    assert len(replies) == 1
    ours, theirs = memory.report(), disk.report()
    assert ours.kept_bytes == theirs.kept_bytes and ours.working_bytes == theirs.working_bytes
    disk.close()


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_the_bytes_of_the_report_are_true(model, where, tmp_path):
    session = small_rekv(model, 2.5, where=tmp_path if where == "disk" else where)
    session.watch(iter(frames_of(model, 9)))
    text, itemsize = model.text_config, 4
    dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    token = 2 * text.num_hidden_layers * text.num_key_value_heads * dim * itemsize
    report = session.report()
    assert report.held_tokens == report.seen_tokens == sum(session.cache.lengths) and report.steps == 9
    assert report.kept_bytes == token * report.held_tokens
    assert report.window_tokens == sum(session.cache.lengths[-session.cache.window_steps :]) <= session.cache.local
    means = 9 * text.num_hidden_layers * text.num_key_value_heads * dim * 4
    assert report.working_bytes == token * (report.prefix_tokens + report.window_tokens) + means
    assert report.nbytes == report.kept_bytes + report.working_bytes
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) == (report.kept_bytes if where == "disk" else 0)
    held = everything(session)
    assert sum(tensor.nbytes for tensor in held) == report.nbytes
    fetched = session.cache.fetchable_tokens
    session.ask("What is it?", remember=False, decoding=SHORT)
    peak, room = session.report().peak_working_bytes, token * session.room
    assert report.working_bytes + token * fetched < peak <= report.working_bytes + token * fetched + room
    session.close()


@pytest.mark.contract
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_failing_step_is_not_kept_and_can_be_watched_again(model, where, tmp_path):
    frames, each = frames_of(model, 8), model.frames_per_step
    session, whole = small_rekv(model, 2, where=tmp_path if where == "disk" else where), small_rekv(model, 2)
    session.watch(iter(frames[: 4 * each]))
    before, report = everything(session), session.report()
    with stopping(model), pytest.raises(Stop):
        session.watch(iter(frames[4 * each :]))
    assert same(before, everything(session)) and session.report().steps == 4
    assert session.report().kept_bytes == report.kept_bytes and session.report().seconds == report.seconds
    session.watch(iter(frames[4 * each :]))
    whole.watch(iter(frames))
    assert same(everything(session), everything(whole))
    session.close()


class Full(MemoryShelf):
    """Takes nothing more."""

    def put(self, block):
        raise UserError("full")


def test_a_step_that_only_some_layers_could_keep_is_kept_by_none(loaded):
    model = loaded("smolvlm")
    frames, session = frames_of(model, 4), small_rekv(model, 2)
    session.watch(iter(frames[:3]))
    before, layer = everything(session), session.cache.layers[2]
    shelf, layer.shelf = layer.shelf, Full()
    with pytest.raises(UserError, match="full"):
        session.watch(iter(frames[3:]))
    layer.shelf = shelf
    assert same(before, everything(session))
    assert {kept.nbytes for kept in session.cache.shelves.layers} == {shelf.nbytes}


def test_a_full_disk_costs_the_step_and_nothing_else(loaded, tmp_path):
    """The file system takes half a step and no more; what was kept stays, and watching goes on later."""
    model = loaded("qwen2_vl")
    frames = frames_of(model, 8)
    session, whole = small_rekv(model, 2, where=tmp_path), small_rekv(model, 2)
    session.watch(iter(frames[:8]))
    before, size = everything(session), session.report().kept_bytes // len(session.cache.layers)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        with pytest.raises(UserError, match="takes no more") as raised:
            session.watch(iter(frames[8:]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(raised.value) and same(before, everything(session))
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.kv")) == session.report().kept_bytes
    session.watch(iter(frames[8:]))
    whole.watch(iter(frames))
    assert same(everything(session), everything(whole))
    session.close()


def test_nan_is_noticed_before_it_is_kept(checkpoint):
    model = load_model(checkpoint("llava_onevision"), device="cpu")
    session, frames = small_rekv(model, 2), frames_of(model, 6)
    session.watch(iter(frames[:4]))
    before = everything(session)
    weight = model.hf.get_decoder().layers[2].self_attn.k_proj.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="layer 2 at step 4"):
        session.watch(iter(frames[4:]))
    with torch.no_grad():
        weight.copy_(kept)
    assert same(before, everything(session))


def test_how_frames_arrive_changes_nothing(model):
    frames = frames_of(model, 7)
    one, other = small_rekv(model, 2, block=1), small_rekv(model, 2, block=16)
    one.watch(iter(frames))
    for frame in frames:
        other.watch(frame.pixels, seconds=frame.seconds)
    assert same(everything(one), everything(other))


def test_a_waiting_frame_is_seen_by_the_answer(loaded):
    model = loaded("qwen2_vl")
    frames = frames_of(model, 5)
    session = small_rekv(model, 2)
    session.watch(iter(frames))
    without, forwards = session.report(), []
    hook = model.hf.get_decoder().register_forward_pre_hook(
        lambda _m, _a, kwargs: forwards.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    session.watch(frames[0].pixels, seconds=1000.0)
    session.ask("What is it?", remember=False, decoding=SHORT)
    hook.remove()
    report = session.report()
    assert (report.waiting_frames, report.frames) == (1, without.frames + 1) and report.steps == without.steps
    step = session.cache.lengths[0]
    assert forwards[1] == step and report.held_tokens == without.held_tokens, "shown behind the fetching, then gone"


def test_the_source_fails_behind_what_it_gave(loaded):
    model = loaded("internvl")

    def failing():
        yield from frames_of(model, 3)
        raise OSError("the cable")

    session = small_rekv(model, 2)
    with pytest.raises(OSError, match="the cable"):
        session.watch(failing())
    assert session.report().steps == 3


BAD = [
    ({"local": 0}, "local=0"), ({"local": 2.5}, "local=2.5"), ({"blocks": 0}, "blocks=0"), ({"blocks": True}, "blocks"),
    ({"room": 0}, "room=0"), ({"block": -1}, "block=-1"), ({"positions": "hf"}, "choose original, compact"),
    ({"where": "/no/such/folder"}, "make it"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "says"), BAD)
def test_bad_options_are_one_line(loaded, options, says):
    with pytest.raises(UserError, match=says) as raised:
        ReKV(loaded("llava_onevision"), **options)
    assert "\n" not in str(raised.value)


def test_what_a_model_cannot_do_is_said_before_anything_is_watched(loaded, checkpoint):
    with pytest.raises(UserError, match="positions='original'"):
        ReKV(loaded("qwen2_vl"), positions="compact")
    model = load_model(checkpoint("llava_onevision", max_position_embeddings=120), device="cpu")
    for session, says in (
        (small_rekv(model, 0.5), "below one step"),
        (small_rekv(model, 20, 4, room=64), "lower local, blocks or room"),
        (small_rekv(model, 2, 20, room=64), "lower local, blocks or room"),
        (small_rekv(model, 2, 2, room=200, positions="original"), "lower local, blocks or room"),
    ):
        with pytest.raises(UserError, match=says) as raised:
            session.watch(iter(frames_of(model, 2)))
        assert "\n" not in str(raised.value) and session.report().steps == 0
    sliding = load_model(checkpoint("qwen2_vl"), device="cpu")
    sliding.hf.get_decoder().layers[1].self_attn.q_norm = torch.nn.Identity()
    with pytest.raises(UserError, match="layer 1 has no plain query and key"):
        ReKV(sliding)


def test_bad_questions_and_times(loaded):
    model = loaded("llava_onevision")
    session = small_rekv(model, 2, room=40)
    with pytest.raises(UserError, match="nothing has been watched"):
        session.ask("What is it?")
    session.watch(iter(frames_of(model, 5)))
    before = everything(session)
    with pytest.raises(UserError, match="empty"):
        session.ask("  ")
    with pytest.raises(RoomFull, match="room has 40"):
        session.ask("what " * 40)
    with pytest.raises(UserError, match="times must ascend"):
        session.watch(np.zeros((90, 140, 3), np.uint8), seconds=1.0)
    assert same(before, everything(session))


@pytest.mark.parametrize("family", ["qwen2_vl", "smolvlm"])
def test_watching_costs_what_the_window_says_however_long_the_stream(loaded, family):
    """What the device holds stops growing but for the means, one vector a step; what is kept goes on."""
    model = loaded(family)
    session = small_rekv(model, 3)
    session.watch(iter(frames_of(model, 8)))
    middle = session.report()
    session.watch(iter(Frame(f.pixels, f.seconds + 1000) for f in frames_of(model, 24)))
    end = session.report()
    means = 24 * sum(layer.means[0].nbytes for layer in session.cache.layers)
    assert end.window_tokens == middle.window_tokens <= 3 * step_tokens(model)
    assert end.working_bytes == middle.working_bytes + means
    assert end.kept_bytes == 4 * middle.kept_bytes


def test_a_window_for_everything_answers_like_the_full_cache(loaded):
    model = loaded("internvl")
    assert model.family in FIXED
    retrieval, full = small_rekv(model, 30), Session(model, policy="full", tokens_per_step=resolution(model))
    for session in (retrieval, full):
        session.watch(iter(frames_of(model, 6)))
    replies = [session.ask("What is it?", decoding=Decoding(max_new_tokens=12)).text for session in (retrieval, full)]
    assert replies[0] == replies[1]
