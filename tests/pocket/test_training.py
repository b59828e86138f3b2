"""The training code against slower or stock counterparts: pixels, patches, towers, labels."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from infinipot_v.pocket import CHECKPOINT, QUESTION_KINDS, TRAIN, make_stream
from infinipot_v.pocket.build import build_config
from infinipot_v.pocket.lexicon import COLOUR_NAMES, KINDS
from infinipot_v.pocket.render import clean_frame
from infinipot_v.pocket.vocabulary import PREFIX
from training.blocks import LENGTH, encoded, rows_of
from training.cells import UNSURE, labels_of
from training.curriculum import STAGES, stage_index
from training.feed import SEEDS_A_WORKER, draw_batch
from training.forward import read, row_positions, see, video_positions
from training.fused import PLAIN
from training.painter import Sheets, clean_frames, paint_on, patches
from training.pupil import Pupil
from training.state import load_tensors, moments, restore_moments, save_tensors

CPU = torch.device("cpu")


def sheets(seed: int, steps: int) -> Sheets:
    return Sheets(*(torch.from_numpy(part) for part in make_stream(seed, steps).plan))


@pytest.fixture(scope="module")
def model() -> Qwen2VLForConditionalGeneration:
    torch.manual_seed(0)
    fresh = Qwen2VLForConditionalGeneration(build_config()).eval()
    for parameter in fresh.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return fresh


def test_both_renderers_paint_the_same() -> None:
    for seed in (4, 9):
        stream = make_stream(seed, 12)
        batched = clean_frames(sheets(seed, 12), paint_on(CPU)).permute(0, 2, 3, 1).numpy()
        single = np.stack([clean_frame(stream.plan, frame) for frame in range(24)])
        assert np.abs(batched - single).max() < 0.01


def test_patches_are_the_stock_processors() -> None:
    frame = torch.randint(0, 256, (1, 3, 112, 112)).float()
    stock = Qwen2VLImageProcessorPil.from_pretrained(CHECKPOINT)
    picture = frame[0].permute(1, 2, 0).numpy().astype(np.uint8)
    found = stock(images=[picture], return_tensors="pt")
    assert found["image_grid_thw"].tolist() == [[1, 8, 8]]
    torch.testing.assert_close(patches(frame.repeat(2, 1, 1, 1))[0], found["pixel_values"], atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("line", [False, True])
def test_the_packed_forward_is_the_stock_forward_row_by_row(model: Qwen2VLForConditionalGeneration, line: bool) -> None:
    stream, text = make_stream(4, 8), model.model.language_model
    rows = rows_of(stream.scene, Random(1), 5, [1.0] * len(QUESTION_KINDS), 0.3)
    tokens, ask_step = torch.from_numpy(rows.tokens).long(), torch.from_numpy(rows.ask_step).long()
    prefix = torch.tensor(encoded(PREFIX))
    pixels = patches(clean_frames(sheets(4, 8), paint_on(CPU)))
    video = see(model, pixels, PLAIN, torch.float32)
    stock = model.model.visual(pixels.flatten(0, 1), grid_thw=torch.tensor([[8, 8, 8]])).pooler_output
    torch.testing.assert_close(video.flatten(0, 1), stock, atol=1e-4, rtol=1e-4)
    packed = read(model, prefix, video[None], tokens[None], ask_step[None], PLAIN, torch.float32, line)[0]
    for row, steps in enumerate(ask_step.tolist()):
        seen = (text.embed_tokens(prefix), video[:steps].flatten(0, 1), text.embed_tokens(tokens[row]))
        places = row_positions(len(prefix), ask_step[None, row : row + 1], LENGTH, line)
        places = torch.cat((video_positions(len(prefix), steps, CPU, line), places), 2)
        whole = text(inputs_embeds=torch.cat(seen)[None], position_ids=places).last_hidden_state[0, -LENGTH:]
        torch.testing.assert_close(packed[row], whole, atol=2e-4, rtol=1e-3)


def test_only_answers_and_their_end_are_learned() -> None:
    end = encoded("<|im_end|>")[0]
    for seed in range(10):
        rows = rows_of(make_stream(seed, 32).scene, Random(seed), 6, [1.0] * len(QUESTION_KINDS), 0.3)
        told = rows.labels != -100
        assert (rows.labels[told] == rows.tokens[told]).all()
        for row in range(6):
            answers = int((rows.kind[row] >= 0).sum())
            assert (rows.labels[row] == end).sum() == answers > 0
            assert answers + 1 <= told[row].sum() <= 3 * answers


def test_the_helper_reads_what_is_centred_in_a_cell() -> None:
    for seed in range(10):
        scene = make_stream(seed, 16).scene
        labels = labels_of(scene).reshape(16, 4, 4, 2)
        for thing in scene.things:
            step = (thing.first + 1) // 2
            if step < thing.last // 2:
                x, y = thing.path.centre(2 * step + 1)
                assert labels[step, int(y // 28), int(x // 28)].tolist() == [1 + thing.kind, 1 + thing.colour]
        assert labels[..., 0].max() <= len(KINDS)
        assert labels[..., 1].max() <= len(COLOUR_NAMES)
        assert labels.min() >= UNSURE


def test_batches_are_drawn_from_training_seeds_and_repeat() -> None:
    stage = STAGES[stage_index("steps-32")]
    one, two = (draw_batch(stage, 32, [1.0] * len(QUESTION_KINDS), TRAIN.start, 2) for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert TRAIN.start + 10**6 * SEEDS_A_WORKER in TRAIN


def test_stages_widen_one_thing_after_another() -> None:
    for before, after in pairwise(STAGES):
        assert set(before.kinds) <= set(after.kinds)
        assert max(before.steps) <= max(after.steps)
    with pytest.raises(ValueError, match="stages: see-aligned"):
        stage_index("walk")


def test_an_update_learns_and_its_state_resumes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = STAGES[stage_index("steps-32")]
    drawn = draw_batch(stage, 16, [1.0] * len(QUESTION_KINDS), TRAIN.start, 2)
    batch = {name: torch.from_numpy(part) for name, part in drawn.items()}
    pupil = Pupil(CPU, torch.float32, fuse=False)
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        loss, tally = pupil.learn(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert (tally["right"] <= tally["asked"]).all()
    save_tensors(pupil.state_dict(), tmp_path, "weights")
    save_tensors(moments(optimizer), tmp_path, "moments")
    again = Pupil(CPU, torch.float32, fuse=False)
    again.load_state_dict(load_tensors(tmp_path, "weights"))
    fresh = torch.optim.AdamW(again.parameters(), lr=1e-3)
    restore_moments(fresh, load_tensors(tmp_path, "moments"), 3)
    assert all(torch.equal(a, b) for a, b in zip(pupil.parameters(), again.parameters(), strict=True))
    assert len(fresh.state) == len(optimizer.state) > 0
