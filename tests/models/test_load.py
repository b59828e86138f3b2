"""Loading: what is missing or damaged is said, in one line, and never replaced by something random."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from infinipot_v import UserError, load_model


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
