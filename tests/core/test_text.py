"""What is said in the stream: text behind the pictures of a step, in the memory like they are."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infinipot_v import Budget, Decoding, Frame, Session, make_policy
from infinipot_v.models.preprocess import normalise, patchify_qwen
from infinipot_v.models.stand_in import stand_in
from infinipot_v.positions import MRopeClock, StreamTooLong
from infinipot_v.types import Block, Grid, UserError
from tests.core.test_compact import frequencies
from tests.core.test_exactness import recorded
from tests.families import FAMILIES, FIXED, small_session
from tests.oracle.attention import logits_of, masked, ranked, slot_ranks, step_ranks
from tests.plain import noise_frames, streamed_logits

MROPE = [name for name in FAMILIES if name not in FIXED]
LINES = ("Hello there", "you win", "an apple on the table, and another one", "so it goes")
QUESTION = "What is on the table?"


def talking(model, steps, *args, text_tokens=0, **options):
    """A small session with place for so many silent steps, and for what one may say."""
    return small_session(model, steps + text_tokens / step_of(model), *args, text_tokens=text_tokens, **options)


def step_of(model):
    """Tokens of a silent step."""
    return model.step_tokens(model.canvas(90, 140, None if model.family in FIXED else 8))


def spoken(frames, every=3, first=0, lines=LINES):
    """Frames of which some say something, the first one at `first`."""
    texts = itertools.cycle(lines)
    return [
        replace(frame, text=next(texts)) if index >= first and (index - first) % every == 0 else frame
        for index, frame in enumerate(frames)
    ]


def said_by(session, frames):
    """Text tokens of every step."""
    model, canvas = session.model, session._at.canvas
    each = model.frames_per_step
    return [len(model.said(frames[i : i + each], canvas)[0]) for i in range(0, len(frames) - each + 1, each)]


# Positions: what transformers gives to several videos with text between them -----------------------------------------


def several_videos(session, frames):
    """Ids, pixels and grids of a prompt in which what is said parts the video: (segments of steps, all token ids)."""
    model, canvas = session.model, session._at.canvas
    pad, tokens = model.hf.config.video_token_id, canvas.grid.tokens
    ids, segments = list(model.prompt.prefix(None)), [0]
    for step in range(len(frames) // 2):
        ids += [pad] * tokens
        segments[-1] += 1
        words = model.said(frames[2 * step : 2 * step + 2], canvas)[0]
        if words:
            assert model.prompt.tokenizer.decode([words[0], words[-1]]) == "<|vision_end|><|vision_start|>"
            ids += words
            segments.append(0)
    return segments, [*ids, *model.prompt.question(None, [], QUESTION)]


@torch.no_grad()
def plain_text_logits(session, frames, fps):
    """One plain forward of Hugging Face's over the same prompt, with positions of its own."""
    model, canvas = session.model, session._at.canvas
    segments, ids = several_videos(session, frames)
    tokens, pad = torch.tensor([ids]), model.hf.config.video_token_id
    videos = [count for count in segments if count]
    inputs = {
        "input_ids": tokens,
        "mm_token_type_ids": (tokens == pad).int() * 2,
        "pixel_values_videos": patchify_qwen(normalise(model.pictures(frames, canvas), model.recipe), model.recipe),
        "video_grid_thw": torch.tensor([[n, canvas.grid.height * 2, canvas.grid.width * 2] for n in videos]),
    }
    if model.family == "qwen2_5_vl":
        inputs["second_per_grid_ts"] = torch.tensor([2 / fps] * len(videos))
    model.hf.model.rope_deltas = None
    return model.hf(**inputs).logits[0]


@pytest.mark.contract
@pytest.mark.parametrize("block", [1, 5])
@pytest.mark.parametrize("family", MROPE)
@pytest.mark.parametrize(("every", "first"), [(3, 0), (2, 1), (8, 5)])
def test_logits_equal_plain_hugging_face_with_text_between_videos(loaded, family, every, first, block):
    frames = spoken(noise_frames(18), every, first)
    session = talking(loaded(family), 60, positions="hf", block=block, text_tokens=48)
    streamed = streamed_logits(session, frames, QUESTION)
    plain = plain_text_logits(session, frames, fps=1.0)
    assert streamed.shape == plain.shape
    assert (streamed - plain).abs().max() <= 1e-5
    assert plain.std() > 0.3, "logits without a spread would pass any comparison"


def looped_text_positions(session, frames, fps):
    """From the words of the design: text behind all that was before, the next video behind the text."""
    model, canvas = session.model, session._at.canvas
    rate = getattr(model.hf.config.vision_config, "tokens_per_second", None)
    prefix = len(model.prompt.prefix(None))
    places, base, video_began = [(i, i, i) for i in range(prefix)], prefix, 0
    for step in range(len(frames) // 2):
        time = step - video_began if rate is None else int((step - video_began) * 2 / fps * rate + 1e-6)
        for row, column in itertools.product(range(canvas.grid.height), range(canvas.grid.width)):
            places.append((base + time, base + row, base + column))
        for _ in model.said(frames[2 * step : 2 * step + 2], canvas)[0]:
            following = max(max(place) for place in places) + 1
            places.append((following,) * 3)
            base, video_began = following + 1, step + 1
    return torch.tensor(places).T[:, None]


@pytest.mark.parametrize("family", MROPE)
@pytest.mark.parametrize("block", [1, 4])
def test_original_positions_go_on_behind_the_text(loaded, family, block):
    frames = spoken(noise_frames(24, fps=1.5), 7, 2)
    session = talking(loaded(family), 60, positions="original", block=block, text_tokens=48)
    _, recording = recorded(small_full(session), frames)
    expected = looped_text_positions(recording.session, frames, 1.5)
    assert torch.equal(recording.positions[..., : expected.shape[-1]], expected)
    behind = recording.positions[..., expected.shape[-1] :]
    first = int(expected.max()) + 1
    assert torch.equal(behind, torch.arange(first, first + behind.shape[-1]).expand(3, 1, -1))


def small_full(session):
    """The same session around the full cache."""
    own = session.settings
    return talking(session.model, 60, "full", positions=own.positions, block=own.block, text_tokens=own.text_tokens)


# Eviction ------------------------------------------------------------------------------------------------------------


@pytest.mark.contract
@pytest.mark.parametrize("policy", ["infinipot-v", "uniform", "random"])
@pytest.mark.parametrize("family", FAMILIES)
def test_after_eviction_logits_equal_a_masked_full_cache(loaded, family, policy):
    model = loaded(family)
    session = talking(model, 10, policy, block=3, positions="original", text_tokens=40)
    streamed, recording = recorded(session, spoken(noise_frames(30 * model.frames_per_step, seed=3)))
    oracle = logits_of(model, recording, masked(recording), recording.positions)
    assert (streamed - oracle).abs().max() <= 1e-5
    unmasked = logits_of(model, recording, None, recording.positions)
    assert (streamed - unmasked).abs().max() > 1e-2, "the comparison must be able to fail"
    assert any((layer.store.cells[:, : layer.store.held] < 0).any() for layer in session.cache.capped_layers)


@pytest.mark.contract
@pytest.mark.parametrize("policy", ["infinipot-v", "random", "full"])
@pytest.mark.parametrize("first", [0, 9])
@pytest.mark.parametrize("family", FAMILIES)
def test_compact_logits_equal_a_loop_over_heads_with_ranks(loaded, family, policy, first):
    """A text token is a rank of its own, and a rank is one index of time, before the first one, too."""
    model = loaded(family)
    count = 30 * model.frames_per_step
    session = talking(model, 10 if policy != "full" else 2, policy, block=3, positions="compact", text_tokens=40)
    frames = spoken(noise_frames(count, fps=1.5, seed=3), 3, first)
    streamed, recording = recorded(session, frames)
    still = recording.positions.clone()
    if model.family in FIXED:
        ranks, still = slot_ranks, torch.zeros_like(still)
    else:
        ranks, still[0] = step_ranks(recording, lambda rank: rank, said_by(session, frames)), 0
    oracle = logits_of(model, recording, ranked(recording, ranks, frequencies(model)), still)
    assert (streamed - oracle).abs().max() <= 1e-5


def test_text_keeps_the_order_of_its_words(loaded):
    """Compact positions of one step's text are consecutive on the axis of time, wherever it is read."""
    session = talking(loaded("qwen2_vl"), 6, positions="compact", text_tokens=40, block=1)
    session.watch(iter(spoken(noise_frames(40))))
    store = session.cache.capped_layers[0].store
    ranks = session.cache.rotation._ranks(store, store.held)
    text = store.cells[:, : store.held] < 0
    assert bool(text.any())
    for row, words in zip(ranks, text, strict=True):
        assert row[words].unique().numel() == int(words.sum())
        assert bool((row.diff() >= 0).all())


# The same whatever the way -------------------------------------------------------------------------------------------


def labels(session):
    return [
        torch.stack([layer.store.steps, layer.store.cells.int()])[..., : layer.store.held].clone()
        for layer in session.cache.capped_layers
    ]


@pytest.mark.parametrize("policy", ["full", "infinipot-v"])
@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize("family", FAMILIES)
def test_wherever_the_first_word_falls_in_a_block_nothing_changes(loaded, family, positions, policy):
    model = loaded(family)
    frames = spoken(noise_frames(16 * model.frames_per_step), 5, 13)
    logits = []
    for block in (1, 4, 64):
        session = talking(model, 8, policy, block=block, positions=positions, text_tokens=30)
        session.watch(iter(frames))
        logits.append(session.answering(QUESTION).first_logits())
    assert max(float((one - logits[0]).abs().max()) for one in logits[1:]) <= 1e-4


@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "internvl"])
def test_a_first_word_that_fails_leaves_no_trace(loaded, family, positions):
    """Ctrl-C in the prefill of the first step that says something: the memory answers as before, to the bit."""
    model = loaded(family)
    frames = noise_frames(18 * model.frames_per_step)
    session = talking(model, 40, positions=positions, text_tokens=30, block=1)
    session.watch(iter(frames[: -2 * model.frames_per_step]))
    before = session.answering(QUESTION).first_logits()
    session.model = stand_in(model, prefill=interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.watch(iter([replace(frames[-2 * model.frames_per_step], text="hello"), *frames[-1:]]))
    session.model = model
    assert torch.equal(session.answering(QUESTION).first_logits(), before)


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize("family", MROPE)
def test_a_waiting_first_word_lies_behind_all_that_is_held(loaded, family, positions):
    frames = noise_frames(17, fps=0.5)
    session = talking(loaded(family), 40, positions=positions, text_tokens=30)
    session.watch(iter(frames[:-1]))
    held = session._now().furthest
    session.watch(iter([replace(frames[-1], text="hello")]))
    ((block, places),), clock = session._shown()
    assert int((block.cells < 0).sum()) > 0
    assert int(places[0].min()) > held and int(places[:, 0, block.cells < 0].min()) > int(places[0, 0, 0])
    assert int(clock.text_positions(1).min()) > int(places.max())


@settings(deadline=None, max_examples=60)
@given(
    rate=st.sampled_from([None, 2.0]),
    start=st.sampled_from(["max", "hf"]),
    compact=st.booleans(),
    words=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    gap=st.sampled_from([0.5, 2.0, 30.0]),
)
def test_no_position_lies_beyond_the_furthest_and_a_question_lies_behind(rate, start, compact, words, gap):
    clock = MRopeClock(10, 2000, grid=Grid(3, 5), rate=rate, text=start, listening=True)
    clock = clock.at_rank(0) if compact else clock
    for step, count in enumerate(words):
        cells = torch.tensor([*range(15), *[-1] * count])
        block = Block(torch.zeros(len(cells), 1), torch.full((len(cells),), step), cells, (step * gap,))
        try:
            places, after = clock.place(block)
        except StreamTooLong:
            return
        said = places[:, 0, cells < 0]
        if count:
            assert bool((said.diff() == 1).all()) and bool((said == said[0]).all()), "words have an order on every axis"
            assert start == "hf" or int(said.min()) > int(places[0, 0, 0])
        assert int(places.max()) <= after.furthest or start == "hf"
        assert after.next_text > int(places[0].max()) or start == "hf"
        clock = after


@pytest.mark.parametrize("text", ["", "hello"])
def test_a_step_beyond_the_positions_is_refused_whatever_it_says(loaded, text):
    frames = noise_frames(4)
    times = (0.0, 0.5, 2e4, 2e4 + 1)
    far = [Frame(f.pixels, at, text if at >= 2e4 else "") for f, at in zip(frames, times, strict=True)]
    session = talking(loaded("qwen2_5_vl"), 20, positions="hf", text_tokens=30, block=1)
    with pytest.raises(StreamTooLong):
        session.watch(iter(far))
    assert session.report().steps == 1


@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_block_size_changes_nothing(loaded, family, positions):
    model = loaded(family)
    frames = spoken(noise_frames(24 * model.frames_per_step + 1, seed=5), 4, 1)
    kept = []
    for block in (1, 2, 5, 64):
        session = talking(model, 8.3, block=block, positions=positions, text_tokens=30)
        session.watch(iter(frames))
        session.cache.check_integrity()
        assert session.report().compressions >= 3
        kept.append((labels(session), session._at.clock.next_text))
    for (one, at), (other, then) in itertools.pairwise(kept):
        assert at == then
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "smolvlm"])
def test_a_question_leaves_no_trace_and_a_file_goes_on_to_the_bit(loaded, family, positions, tmp_path):
    model = loaded(family)
    frames = spoken(noise_frames(30 * model.frames_per_step + 1, seed=7), 2, 1)
    session = talking(model, 8, positions=positions, text_tokens=30, ring=1)
    middle = 15 * model.frames_per_step + model.frames_per_step - 1
    session.watch(iter(frames[:middle]))
    before = [layer.store.state() for layer in session.cache.capped_layers]
    session.ask(QUESTION, remember=False, decoding=Decoding(max_new_tokens=4))
    for state, layer in zip(before, session.cache.capped_layers, strict=True):
        assert torch.equal(state.keys, layer.store.state().keys)
    session.save(tmp_path / "talk.ivm.safetensors")
    opened = Session.load(tmp_path / "talk.ivm.safetensors", model)
    for one in (session, opened):
        one.watch(iter(frames[middle:]))
    assert opened.report().cut_tokens == session.report().cut_tokens
    for one, other in zip(session.cache.capped_layers, opened.cache.capped_layers, strict=True):
        ours, theirs = one.store.state(), other.store.state()
        assert torch.equal(ours.keys, theirs.keys) and torch.equal(ours.cells, theirs.cells)
    assert session.ask(QUESTION).text == opened.ask(QUESTION).text


def test_a_waiting_frame_is_heard_too(loaded):
    """A question hears what the frame says that waits for its partner, and the memory does not know it yet."""
    frames = noise_frames(9)
    answers = []
    for text in ("", LINES[2]):
        session = talking(loaded("qwen2_vl"), 10, text_tokens=40)
        session.watch(iter([*frames[:-1], replace(frames[-1], text=text)]))
        answers.append(session.answering(QUESTION).first_logits())
        assert session.report().seen_tokens == 4 * session._at.canvas.grid.tokens
    assert (answers[0] - answers[1]).abs().max() > 1e-3


# Bounds and mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_says_no_more_than_it_may(loaded, family):
    model, each = loaded(family), loaded(family).frames_per_step
    frames = [replace(frame, text="word " * 300) for frame in noise_frames(6 * each)]
    session = talking(model, 12, text_tokens=20, ring=2)
    session.watch(iter(frames))
    endless = replace(session._at.canvas, text=10**6)
    whole = sum(len(model.said(frames[i : i + each], endless)[0]) for i in range(0, len(frames), each))
    assert said_by(session, frames) == [20] * 6
    assert session.report().cut_tokens == whole - 6 * 20
    assert session.report().seen_tokens <= 6 * (step_of(model) + 20)
    assert session.nbytes <= session.report().cap_bytes


def test_special_tokens_are_not_said(loaded):
    model = loaded("qwen2_vl")
    session = talking(model, 12, text_tokens=40)
    frames = noise_frames(4)
    session.watch(iter([replace(frames[0], text="so<|im_end|> it <|video_pad|>goes"), *frames[1:]]))
    ids, _ = model.said([replace(frames[0], text="so<|im_end|> it <|video_pad|>goes")], session._at.canvas)
    assert model.prompt.tokenizer.decode(ids) == "<|vision_end|>so it goes<|vision_start|>"


def test_text_that_nobody_asked_for_is_refused_before_anything_is_watched(loaded):
    session = talking(loaded("qwen2_vl"), 12)
    frames = noise_frames(4)
    with pytest.raises(UserError, match=r"frame at 1.000 s brings text.*text_tokens=64"):
        session.watch(iter([frames[0], replace(frames[1], text="hello"), *frames[2:]]))
    assert session.report().steps == 0 and session.report().waiting_frames == 1


@pytest.mark.parametrize("text", [b"bytes", 7, None])
def test_text_must_be_text(loaded, text):
    session = talking(loaded("qwen2_vl"), 12, text_tokens=9)
    with pytest.raises(UserError, match="give a str"):
        session.watch(Frame(np.zeros((64, 64, 3), np.uint8), 0.0, text))


def test_text_must_be_unicode(loaded):
    session = talking(loaded("qwen2_vl"), 12, text_tokens=9)
    with pytest.raises(UserError, match="UTF-8"):
        session.watch(Frame(np.zeros((64, 64, 3), np.uint8), 0.0, "\ud800"))


def test_special_tokens_that_others_leave_behind_are_not_said_either(loaded):
    model = loaded("qwen2_vl")
    nested = "<|im_" * 3000 + "end|>" * 3000
    assert model.prompt.plain(f"a{nested}b") == "ab"
    assert model.prompt.plain("<|im_<|im_end|>end|> <|vision_start|>") == " "


def test_text_without_measure_is_refused(loaded):
    session = talking(loaded("qwen2_vl"), 12, text_tokens=9)
    with pytest.raises(UserError, match="characters of text: bring less"):
        session.watch(Frame(np.zeros((64, 64, 3), np.uint8), 0.0, "a" * 10**6))


def test_a_waiting_step_with_its_text_fits_the_room(loaded):
    model = loaded("qwen2_vl")
    session = Session(model, Budget(tokens=200, room=64), tokens_per_step=8, text_tokens=60)
    with pytest.raises(UserError, match=r"the room has 64 slots.*--text-tokens"):
        session.check_question(QUESTION)
    with pytest.raises(UserError, match="the room has 64 slots"):
        session.watch(iter(noise_frames(3)))


@pytest.mark.parametrize("count", [-1, 5000, 2.5, True])
def test_the_bound_must_be_a_number_of_tokens(loaded, count):
    with pytest.raises(UserError, match="text_tokens"):
        Session(loaded("qwen2_vl"), Budget(tokens=64), text_tokens=count)


def test_a_budget_holds_a_step_with_its_text(loaded):
    session = small_session(loaded("qwen2_vl"), 2, text_tokens=40)
    with pytest.raises(UserError, match="below one step.*text_tokens"):
        session.watch(iter(noise_frames(4)))


def test_content_keys_want_compact_positions(loaded):
    """Original positions follow from no step number once something was said, so nothing is compared by a wrong one."""
    policy = make_policy("infinipot-v", tar_keys="content")
    frames = spoken(noise_frames(60))
    with pytest.raises(UserError, match="positions='compact'"):
        talking(loaded("qwen2_vl"), 10, policy, positions="original", text_tokens=30).watch(iter(frames))
    talking(loaded("qwen2_vl"), 10, policy, positions="compact", text_tokens=30).watch(iter(frames))


def test_near_duplicates_that_say_something_are_shown(loaded):
    still = noise_frames(1)[0].pixels
    frames = [Frame(still, float(second), LINES[0] if second % 4 == 0 else "") for second in range(16)]
    session = talking(loaded("smolvlm"), 12, reduce="near-duplicates", text_tokens=30)
    session.watch(iter(frames))
    assert session.report().steps == 4 and session.report().reduced_frames == 12
