"""What doctor says of a checkpoint, against the checkpoint when it is loaded and watches."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infinipot_v import Budget, Session, UserError, load_model
from infinipot_v.survey.examination import examine
from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.survey.machine import Device
from infinipot_v.survey.parts import prompt_of
from infinipot_v.survey.shapes import shapes_of
from tests.families import FAMILIES, FIXED
from tests.plain import noise_frames

CPU = Device("cpu", "a test's", 2**40, 2**39)


def look(folder: Path, budget: Budget | None = None, device: Device = CPU, dtype: str = "auto"):
    return examine(CheckpointFiles.of(folder), device, budget, dtype)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_and_tokens_are_those_of_the_loaded_model(checkpoint, family, dtype):
    folder = checkpoint(family)
    found = look(folder, Budget(tokens=640, room=64), dtype=dtype)
    model = load_model(folder, device="cpu", dtype=dtype)
    session = Session(model, Budget(tokens=640, room=64))
    assert found.cap_bytes == session.report().cap_bytes
    assert found.weights_bytes == sum(p.nbytes for p in model.hf.parameters())
    assert found.step_tokens == model.step_tokens(model.canvas(720, 1280))
    assert (found.family, found.dtype, found.frames_per_step) == (family, dtype, model.frames_per_step)
    assert found.token_bytes == sum(layer.store.shape.token_bytes for layer in session.cache.capped_layers)
    assert found.axes == (1 if family in FIXED else 3) and found.positions == model.default_positions
    assert found.needed_bytes == found.weights_bytes + found.cap_bytes + found.work_bytes + found.process_bytes
    assert found.work_bytes > 0 and found.problems == ()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_onevision"])
def test_what_one_gib_holds(checkpoint, family):
    folder = checkpoint(family, max_position_embeddings=2**30)
    found = look(folder)
    session = Session(load_model(folder, device="cpu"), Budget(bytes=2**30))
    assert found.gib_tokens == session.cache.tokens
    pair = session.model.frames_per_step
    assert found.gib_minutes == pytest.approx(found.gib_tokens // found.step_tokens * pair / 60, abs=0.01)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_a_stream_lasts_as_long_as_is_said(checkpoint, family):
    folder = checkpoint(family, max_position_embeddings=600)
    found = look(folder)
    session = Session(load_model(folder, device="cpu"), Budget(tokens=64), tokens_per_step=4)
    seconds = found.stream_minutes * 60
    pictures = noise_frames(4, height=56, width=56)
    frames = (replace(pictures[i % 4], seconds=float(i)) for i in range(10_000))
    with pytest.warns(UserWarning, match="80 %"), pytest.raises(UserError, match="positions"):
        session.watch(frames)
    assert session.report().seconds == pytest.approx(seconds, abs=0.1 * seconds + 10)


def test_compact_positions_never_run_out_but_bound_the_budget(checkpoint):
    folder = checkpoint("llava_onevision", max_position_embeddings=1000)
    found = look(folder)
    model = load_model(folder, device="cpu")
    most = 1000 - 512 - len(model.prompt.prefix())
    assert found.stream_minutes is None and found.budget_tokens == found.gib_tokens == most
    Session(model, Budget(tokens=most)).watch(noise_frames(2))
    too_many = look(folder, Budget(tokens=most + 1))
    assert f"at most {most} fit" in too_many.problems[0]
    with pytest.raises(UserError, match="positions"):
        Session(model, Budget(tokens=most + 1)).watch(noise_frames(2))


def test_what_does_not_fit_is_said(checkpoint):
    found = look(checkpoint("qwen2_vl"), device=Device("cpu", "small", 10**6, 10**5))
    assert len(found.problems) == 1 and "0.0 GB are free on cpu" in found.problems[0]
    assert look(checkpoint("qwen2_vl"), device=Device("cpu", "silent", None, None)).problems == ()


@pytest.mark.parametrize(
    ("file", "says"),
    [("tokenizer.json", "tokenizer"), ("model.safetensors", "model.safetensors")],
)
def test_what_is_missing_is_said(checkpoint, tmp_path, file, says):
    folder = Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy"))
    (folder / file).unlink()
    if file == "tokenizer.json":
        (folder / "tokenizer_config.json").unlink()
    found = look(folder)
    assert len(found.problems) == 1 and says in found.problems[0]
    assert found.cap_bytes > 0 and found.weights_bytes > 0


def test_tensors_that_are_missing_or_too_many_are_said(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.2." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert "config.json describes" in look(folder).problems[0]
    more = weights | {"model.layers.9.w": torch.zeros(200_000)}
    save_file(more, folder / "model.safetensors", metadata={"format": "pt"})
    assert "of another model" in look(folder).problems[0]


@pytest.mark.parametrize("family", ["llama", "qwen3_5_text"])
def test_what_cannot_watch_is_refused(checkpoint, family):
    with pytest.raises(UserError, match="text-only"):
        look(checkpoint(family))


def test_an_unknown_architecture_is_refused(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "qwen2_vll"}))
    with pytest.raises(UserError, match="not supported; the nearest that is: qwen2_vl"):
        look(folder)


def test_no_weight_is_allocated(checkpoint):
    files = CheckpointFiles.of(checkpoint("qwen2_vl"))
    shapes = shapes_of(files, prompt_of(files), torch.float32)
    assert {parameter.device.type for parameter in shapes.model.hf.parameters()} == {"meta"}


def test_options_that_have_no_effect_are_said(checkpoint):
    small, wide = look(checkpoint("llava_onevision")), look(checkpoint("qwen2_vl"))
    assert "too few to pool" in small.options["pooling"] and "kernels up to 5" in wide.options["pooling"]
    assert "no effect" in small.options["tar_keys"] and "content" in wide.options["tar_keys"]
    assert "below eight steps" in look(checkpoint("qwen2_vl"), Budget(tokens=300)).options["recent"]
    assert wide.options["recent"] == f"{6144 // 8 // wide.step_tokens} steps are protected"
