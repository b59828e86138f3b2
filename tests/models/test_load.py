"""Loading: what is missing or damaged is said, in one line, and never replaced by something random."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from infinipot_v import UserError, load_model
from infinipot_v.models.weights import _placement
from tests.cli.broken import shard


@pytest.fixture
def copied(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("lost", ["layers.2.self_attn", "visual.blocks.0", "lm_head"])
def test_missing_tensors_are_not_filled_with_chance(copied, lost):
    weights = load_file(copied / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if lost not in name}
    assert len(kept) < len(weights)
    save_file(kept, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="missing"):
        load_model(copied, device="cpu")


def test_a_config_with_fewer_layers_than_the_weights_is_refused(copied):
    edit(copied / "config.json", num_hidden_layers=1)
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(copied, device="cpu")


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"vision_config": 5}),
        ("config.json", {"text_config": "x"}),
        ("config.json", {"num_attention_heads": 0}),
        ("config.json", {"hidden_size": "64"}),
        ("config.json", {"rope_scaling": 5}),
        ("config.json", {"video_token_id": 10**9}),
        ("preprocessor_config.json", {"patch_size": "x"}),
        ("preprocessor_config.json", {"patch_size": 16}),
        ("preprocessor_config.json", {"merge_size": 3}),
        ("preprocessor_config.json", {"image_mean": [0.5]}),
        ("preprocessor_config.json", {"image_mean": 5}),
        ("preprocessor_config.json", {"max_pixels": -5}),
        ("preprocessor_config.json", {"resample": [1]}),
        ("preprocessor_config.json", {"rescale_factor": 0}),
        ("preprocessor_config.json", {"size": 5}),
    ],
)
def test_damaged_configs_are_one_line(copied, file, changes):
    edit(copied / file, **changes)
    with pytest.raises(UserError) as error:
        load_model(copied, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["tokenizer.json", "preprocessor_config.json", "config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "nonsense"])
def test_missing_and_damaged_files_are_one_line(copied, file, damage):
    (copied / file).unlink()
    if damage != "missing":
        (copied / file).write_text("" if damage == "empty" else "nonsense {")
    with pytest.raises(UserError) as error:
        load_model(copied, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("template", ["{{ video", "{{ raise_exception('video no') }}", "a video, but none is shown"])
def test_broken_chat_templates_are_one_line(copied, template):
    edit(copied / "tokenizer_config.json", chat_template=template)
    (copied / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    with pytest.raises(UserError, match="template"):
        load_model(copied, device="cpu")


def test_sharded_weights_are_the_same_weights(copied, checkpoint):
    shard(copied)
    assert not (copied / "model.safetensors").exists()
    whole, parts = (load_model(folder, device="cpu").hf.state_dict() for folder in (checkpoint("qwen2_vl"), copied))
    assert whole.keys() == parts.keys()
    assert all(bool((tensor == parts[name]).all()) for name, tensor in whole.items())


def test_a_checkpoint_without_a_generation_config_is_fine_and_a_damaged_one_is_not(copied):
    (copied / "generation_config.json").unlink()
    assert load_model(copied, device="cpu").family == "qwen2_vl"
    (copied / "generation_config.json").write_text('{"eos_token_id": [1, true]}')
    with pytest.raises(UserError, match="eos_token_id"):
        load_model(copied, device="cpu")


@pytest.mark.parametrize("option", ["use_safetensors", "trust_remote_code", "output_loading_info"])
def test_what_keeps_pickles_and_foreign_code_out_cannot_be_chosen(checkpoint, option):
    with pytest.raises(UserError, match=option):
        load_model(checkpoint("qwen2_vl"), device="cpu", **{option: False})


@pytest.mark.parametrize("index", [{}, {"weight_map": 5}, {"weight_map": {"a": 1}}, {"weight_map": {}}])
def test_a_damaged_index_is_one_line(copied, index):
    shard(copied)
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="index"):
        load_model(copied, device="cpu")


def test_a_quantised_model_is_placed_while_it_is_loaded(monkeypatch):
    quantised = {"quantization_config": {"quant_method": "torchao"}}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert _placement({}, "cuda:1", {}) == {}
    assert _placement(quantised, "cuda:1", {}) == _placement({}, "cuda:1", quantised) == {"device_map": {"": "cuda:1"}}
    assert _placement(quantised, "cuda:1", {"device_map": "auto"}) == {}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert _placement(quantised, "cpu", {}) == {}
    with pytest.raises(UserError, match="pip install accelerate"):
        _placement(quantised, "cuda:1", {})
