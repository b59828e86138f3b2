"""Tiny checkpoints: complete folders, loaded by the classes that load real ones, and sensitive to what matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from infinipot_v.testing import families, write_checkpoint
from infinipot_v.testing.__main__ import main
from infinipot_v.types import UserError
from tests.families import FAMILIES

VISION = ["qwen2_vl", "qwen2_5_vl"]
TEXT = "Grüße, 世界! What's the\n\n time: 12345  🎬<|im_end|>"
Checkpoint = Callable[..., Path]


def load(folder: Path, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    vision = "vision_config" in json.loads((folder / "config.json").read_text())
    auto = AutoModelForImageTextToText if vision else AutoModelForCausalLM
    model, report = auto.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval()


def test_the_families_are_known() -> None:
    assert set(families()) >= {*FAMILIES, "qwen3_5_text", "llama"}


@pytest.mark.contract
@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_loads_complete_and_answers_with_spread(checkpoint: Checkpoint, family: str, dtype: torch.dtype) -> None:
    folder = checkpoint(family)
    model, tokenizer = load(folder, dtype), AutoTokenizer.from_pretrained(folder)
    assert AutoConfig.from_pretrained(folder).get_text_config().vocab_size == len(tokenizer)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    swapped = ids.clone()
    swapped[0, [4, 7]] = ids[0, [7, 4]]
    with torch.no_grad():
        logits, others = model(input_ids=ids).logits.float(), model(input_ids=swapped).logits.float()
    assert logits.isfinite().all()
    assert 0.5 < logits.std() < 10
    assert (logits - others)[0, -1].abs().max() > 0.05  # order matters


@pytest.mark.parametrize("family", VISION)
def test_pictures_their_place_and_their_time_matter(checkpoint: Checkpoint, family: str) -> None:
    folder = checkpoint(family)
    model, tokenizer = load(folder), AutoTokenizer.from_pretrained(folder)
    grid, pad = torch.tensor([[3, 8, 12]]), tokenizer.convert_tokens_to_ids("<|video_pad|>")
    ids = torch.tensor([[*tokenizer.encode("<|vision_start|>"), *[pad] * 72, *tokenizer.encode("<|vision_end|>what?")]])
    kinds = (ids == pad).int() * 2

    def last_logits(pixels: torch.Tensor, **extra: torch.Tensor) -> torch.Tensor:
        inputs = {"pixel_values_videos": pixels, "video_grid_thw": grid, "mm_token_type_ids": kinds, **extra}
        with torch.no_grad():
            return model(input_ids=ids, **inputs).logits[0, -1]

    pixels = torch.randn(3 * 96, 1176, generator=torch.Generator().manual_seed(0))
    backwards, hole = pixels.view(3, 96, -1).flip(0).reshape(pixels.shape), pixels.clone()
    hole[:4] = 0
    logits = last_logits(pixels)
    assert (logits - last_logits(backwards)).abs().max() > 0.1
    assert (logits - last_logits(hole)).abs().max() > 0.1
    if family == "qwen2_5_vl":
        assert (logits - last_logits(pixels, second_per_grid_ts=torch.tensor([2.0]))).abs().max() > 0.1


@pytest.mark.parametrize("family", families())
def test_the_tokenizer_loses_nothing(checkpoint: Checkpoint, family: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint(family))
    text = TEXT.removesuffix("<|im_end|>")
    ids = tokenizer(text + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text + tokenizer.eos_token
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert len(tokenizer.tokenize("<|vision_start|><|video_pad|><|image_pad|><|vision_end|>")) == 4
    assert len(tokenizer.tokenize(" the")) == 1


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [{"role": "user", "content": "hi"}],
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n",
        ),
        (
            [
                {"role": "system", "content": "short"},
                {"role": "user", "content": [{"type": "video"}, {"type": "image"}, {"type": "text", "text": "q?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            ],
            "<|im_start|>system\nshort<|im_end|>\n<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>"
            "<|vision_start|><|image_pad|><|vision_end|>q?<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n",
        ),
    ],
)
def test_the_chat_template(checkpoint: Checkpoint, messages: list[dict[str, object]], expected: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("qwen2_vl"))
    assert tokenizer.apply_chat_template(messages, tokenize=False) == expected
    prompted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompted == expected + "<|im_start|>assistant\n"


def test_a_folder_has_every_file_of_a_real_one(checkpoint: Checkpoint) -> None:
    names = {path.name for path in checkpoint("qwen2_5_vl").iterdir()}
    assert names >= {
        "chat_template.json", "config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    config = json.loads((checkpoint("qwen2_5_vl") / "config.json").read_text())
    assert config["model_type"] == "qwen2_5_vl"
    assert config["num_hidden_layers"] == 4  # flat, as on the hub


def test_weights_depend_on_the_seed_only(tmp_path: Path, checkpoint: Checkpoint) -> None:
    same = write_checkpoint("qwen3_5_text", tmp_path / "same")
    other = write_checkpoint("qwen3_5_text", tmp_path / "other", seed=1)
    first, again, different = (
        (folder / "model.safetensors").read_bytes() for folder in (checkpoint("qwen3_5_text"), same, other)
    )
    assert first == again
    assert first != different


def test_overrides_reach_the_config(tmp_path: Path) -> None:
    folder = write_checkpoint("qwen2_vl", tmp_path, num_hidden_layers=2, vision_config={"depth": 1})
    config = AutoConfig.from_pretrained(folder)
    assert (config.text_config.num_hidden_layers, config.vision_config.depth) == (2, 1)
    assert config.vision_config.embed_dim == 32
    load(folder)
    with pytest.raises(UserError, match="no key 'layers'"):
        write_checkpoint("qwen2_vl", tmp_path, layers=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["qwen2_v", "x"], "nearest is 'qwen2_vl'"), (["llama", "file"], "name another folder")],
)
def test_bad_arguments_end_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.contract
def test_the_command_works_from_anywhere_and_offline(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "infinipot_v.testing", "qwen2_vl", "made/here", "--seed", "3"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Path("made/here"))
    assert (tmp_path / "made" / "here" / "model.safetensors").is_file()
