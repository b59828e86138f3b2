"""Families with one picture size: prompts as transformers writes them, one resolution, text in the stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from infinipot_v import Budget, Decoding, Session, UserError, cache_name, load_model
from infinipot_v.types import Frame
from tests import processors
from tests.families import FIXED
from tests.plain import noise_frames, plain_logits, recorded_states, streamed_logits

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompts.json").read_text())
PICTURE = {"internvl": "<IMG_CONTEXT>", "smolvlm": "<image>"}
"""What stands for a token of a picture; `<video>` elsewhere."""


@pytest.fixture(scope="module", params=FIXED)
def model(request, checkpoint):
    return load_model(checkpoint(request.param), device="cpu")


@contextmanager
def recorded_ids(model) -> Iterator[list[list[int]]]:
    """Collect the token ids that are embedded, call by call."""
    seen: list[list[int]] = []
    hook = model.hf.get_input_embeddings().register_forward_pre_hook(lambda _m, args: seen.append(args[0][0].tolist()))
    try:
        yield seen
    finally:
        hook.remove()


def whole_prompt(model, frames, question, split) -> list[int]:
    """Token ids of a prompt put together from our pieces: prefix, two blocks, question."""
    canvas, tokenizer = model.canvas(90, 140), model.prompt.tokenizer
    with recorded_ids(model) as seen:
        blocks = [model.encode(frames[:split], canvas, 0), model.encode(frames[split:], canvas, split)]
    picture = tokenizer.convert_tokens_to_ids(PICTURE.get(model.family, "<video>"))
    text = chain.from_iterable(seen)
    stream = [picture if cell >= 0 else next(text) for block in blocks for cell in block.cells.tolist()]
    assert next(text, None) is None
    return [*model.prompt.prefix(), *stream, *model.prompt.question(None, [], question)]


@pytest.mark.parametrize("split", [1, 7])
def test_the_prompt_is_that_of_transformers_processor(model, split):
    """Golden ids; tests/golden/make_prompts.py made them with transformers' processors."""
    golden = GOLDEN[model.family]
    frames = noise_frames(GOLDEN["frames"], GOLDEN["fps"])
    if model.family == "smolvlm":
        begin, end = "You are provided", "video.\n"
        theirs = begin + golden["text"].split(begin)[1].split(end)[0] + end
        assert "twelve" in theirs
        model = replace(model, prompt=replace(model.prompt, opening=theirs))
    assert whole_prompt(model, frames, GOLDEN["question"], split) == golden["ids"]


def test_the_text_that_exactness_is_tested_with_is_theirs_too(model):
    golden = GOLDEN[model.family]
    opening = golden["text"].split("User: ")[-1].split("\nFrame")[0] if model.family == "smolvlm" else ""
    model = replace(model, prompt=replace(model.prompt, opening=opening))
    frames, cells = noise_frames(GOLDEN["frames"], GOLDEN["fps"]), model.canvas(90, 140).grid.tokens
    whole = processors.text(model, frames, cells, GOLDEN["question"])
    assert processors.ids(model, whole) == golden["ids"]


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_streaming_with_the_words_of_transformers_equals_its_plain_forward(checkpoint, system):
    """SmolVLM's video opens with numbers that a stream cannot know; where they are known, all is as in transformers."""
    model = load_model(checkpoint("smolvlm"), device="cpu")
    opening = "You are provided the following series of five frames from a 0:00:02 [H:MM:SS] video.\n"
    model = replace(model, prompt=replace(model.prompt, opening=opening))
    session, frames = Session(model, Budget(tokens=4096), tokens_per_step=8, system=system), noise_frames(5, 2.0)
    streamed = streamed_logits(session, frames, "What?")
    assert (streamed - plain_logits(session, frames, "What?", own_positions=True)).abs().max() <= 1e-5


def test_every_step_has_its_picture_once_and_text_around_it(model):
    block = model.encode(noise_frames(3), model.canvas(90, 140), 98)
    tokens = model.canvas(90, 140).grid.tokens
    for step in (98, 99, 100):
        cells = block.cells[block.steps == step]
        pictured = (cells >= 0).nonzero().flatten()
        assert cells[pictured].tolist() == list(range(tokens))
        assert int(pictured[-1] - pictured[0]) == tokens - 1, "text lies around the picture, not in it"
        assert cells.numel() <= model.step_tokens(model.canvas(90, 140))
    assert (-1 in block.cells) == (model.family in PICTURE)
    assert block.seconds == (0.0, 1.0, 2.0)


def test_pictures_their_place_and_their_time_matter(model):
    def last_logits(frames):
        return streamed_logits(Session(model, Budget(tokens=4096), tokens_per_step=8), frames, "What?")[-1]

    frames = noise_frames(4, seed=2)
    logits, pixels = last_logits(frames), [frame.pixels for frame in frames]
    backwards = [replace(frame, pixels=shown) for frame, shown in zip(frames, reversed(pixels), strict=True)]
    assert (logits - last_logits(backwards)).abs().max() > 0.05
    mirrored = [replace(frame, pixels=frame.pixels[:, ::-1].copy()) for frame in frames]
    assert (logits - last_logits(mirrored)).abs().max() > 0.05


def test_there_is_one_resolution(model):
    canvas = model.canvas(720, 1280)
    assert canvas == replace(model.canvas(33, 9), source=(720, 1280))
    tokens, pixels = canvas.grid.tokens, canvas.pixels[0] * canvas.pixels[1]
    assert model.canvas(720, 1280, tokens, pixels) == model.canvas(720, 1280, 128, None) == canvas
    for wrong in ({"tokens_per_step": tokens - 1}, {"max_pixels": pixels - 1}):
        with pytest.raises(UserError, match="one resolution") as error:
            model.canvas(720, 1280, **wrong)
        assert "\n" not in str(error.value)


def test_frames_of_another_size_are_shown_in_the_first_ones_shape(model):
    canvas, grey = model.canvas(100, 200), np.full((50, 100, 3), 200, dtype=np.uint8)
    alike = model.pictures([Frame(grey, 0.0)], canvas)
    assert alike.shape == (1, 3, *canvas.pixels)
    assert (alike == 200).all(), "the same shape fills the picture"
    tall = model.pictures([Frame(grey.transpose(1, 0, 2), 0.0)], canvas)
    middle = canvas.pixels[1] // 2
    assert (tall[..., middle] == 200).all()
    assert (tall[0, :, :, 0].float().mean() < 20) or model.recipe.shortest, "black beside what is narrower"


def test_frames_are_encoded_each_for_itself(model):
    frames, canvas = noise_frames(5), model.canvas(90, 140)
    whole = model.encode(frames, canvas, 0)
    alone = [model.encode([frame], canvas, index) for index, frame in enumerate(frames)]
    assert torch.equal(whole.cells, torch.cat([block.cells for block in alone]))
    torch.testing.assert_close(whole.embeddings, torch.cat([b.embeddings for b in alone]), atol=1e-5, rtol=0)
    assert (whole.embeddings.std(0) > 0.01).all()


def test_the_newline_closes_the_video_once(checkpoint):
    model = load_model(checkpoint("llava_onevision"), device="cpu")
    ids = model.prompt.question(None, [("a?", "b")], "q?")
    video = model.hf.config.video_token_id
    assert ids[0] == video
    assert ids.count(video) == 1
    assert video not in model.prompt.prefix()
    embedded, newline = model.embed(ids)[0], model.hf.model.image_newline
    assert torch.equal(embedded[0], newline)
    assert torch.equal(embedded[1:], model.hf.get_input_embeddings()(torch.tensor(ids[1:])))
    block = model.encode(noise_frames(2), model.canvas(90, 140), 0)
    assert (block.embeddings - newline).abs().amax(1).min() > 0.01


def test_generate_needs_the_newline_prefilled(checkpoint):
    """As docs/models.md says: transformers' own loop would look the placeholder up in its table."""
    model = load_model(checkpoint("llava_onevision"), device="cpu")
    session = Session(model, Budget(tokens=400), positions="original")
    session.watch(iter(noise_frames(6)))
    with recorded_states(model) as own:
        session.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=1))
    ids = model.prompt.question(None, [], "What is it?")
    positions = session._at.clock.text_positions(len(ids))

    def last_state(prefilled: int) -> torch.Tensor:
        if prefilled:
            model.prefill_text(ids[:prefilled], positions[:, :prefilled], session.cache)
        rest, slots = torch.tensor([ids[prefilled:]]), session.cache.get_seq_length()
        with recorded_states(model) as states:
            model.hf.generate(
                rest, attention_mask=torch.ones(1, slots + rest.shape[1]), position_ids=positions[:, prefilled:],
                max_new_tokens=1, do_sample=False, **{cache_name(model.hf): session.cache},
            )  # fmt: skip
        session.cache.rollback()
        return states[0][-1]

    assert (last_state(1) - own[0][-1]).abs().max() <= 1e-5
    assert (last_state(0) - own[0][-1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("family", "scaling", "limit"),
    [
        ("llava_onevision", None, 32768),
        ("llava_next_video", {"factor": 2.5, "type": "linear"}, 81920),
        ("llava_next_video", None, 32768),
        ("internvl", {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"}, 32768),
    ],
)
def test_scaled_positions_reach_as_far_as_the_model_was_trained(checkpoint, family, scaling, limit):
    """Linear scaling squeezes more positions into the trained range; dynamic scaling leaves it, and is not followed."""
    model = load_model(checkpoint(family, text_config={"rope_scaling": scaling}), device="cpu")
    assert model.position_limit == limit


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llava_onevision", {"size": {"height": 56, "width": 56}}),
        ("llava_onevision", {"size": {"shortest_edge": 42}}),
        ("llava_next_video", {"crop_size": {"height": 42, "width": 42}}),
        ("llava_next_video", {"size": {"shortest_edge": 50}}),
        ("internvl", {"size": {"height": 448, "width": 448}}),
        ("internvl", {"image_std": [0, 1, 1]}),
        ("smolvlm", {"max_image_size": {"longest_edge": 65}}),
        ("smolvlm", {"max_image_size": 5}),
        ("smolvlm", {"resample": 9}),
        ("smolvlm", {"video_sampling": 5, "size": None}),
    ],
)
def test_damaged_pixel_files_are_one_line(checkpoint, tmp_path, family, changes):
    for path in checkpoint(family).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    name = next(n for n in ("video_preprocessor_config.json", "preprocessor_config.json") if (tmp_path / n).exists())
    (tmp_path / name).write_text(json.dumps({**json.loads((tmp_path / name).read_text()), **changes}))
    with pytest.raises(UserError) as error:
        load_model(tmp_path, device="cpu")
    assert "\n" not in str(error.value)
