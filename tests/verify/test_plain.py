"""The slow arithmetic against what Hugging Face's own processors made (golden numbers)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.verify.finding import CannotCheck
from infinipot_v.verify.plain import opening, processor_options, slow_inputs
from infinipot_v.verify.plain.shown import Shown
from tests.oracle import pixels as oracle

GOLDEN = Path(__file__).parents[1] / "golden"
QWEN = json.loads((GOLDEN / "pixels.json").read_text())["cases"]
FIXED = json.loads((GOLDEN / "fixed_pixels.json").read_text())
FILES = json.loads((GOLDEN / "preprocessors.json").read_text())
FAMILIES = tuple(FILES)
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def shown(folder: Path, pictures: np.ndarray, size: tuple[int, int] = (56, 56)) -> Shown:
    files = CheckpointFiles.of(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Shown(files, AutoConfig.from_pretrained(folder), tokenizer, pictures, 1.0, size, "What?")


@pytest.mark.parametrize("case", QWEN, ids=lambda case: str(case["pattern"]))
def test_qwen_patches_equal_the_processor_of_hugging_face(checkpoint, case):
    frames, height, width = case["pattern"]
    size = case["grid"][1] * 14, case["grid"][2] * 14
    made = slow_inputs("qwen2_vl", shown(checkpoint("qwen2_vl"), oracle.pattern(frames, height, width), size))
    pixels = made["pixel_values_videos"]
    assert made["video_grid_thw"].tolist() == [case["grid"]]
    torch.testing.assert_close(pixels.flatten()[::9973], torch.tensor(case["every_9973rd"]), atol=1e-5, rtol=0)
    assert pixels.double().sum().item() == pytest.approx(case["sum"], abs=1e-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_equal_the_processors_of_hugging_face(checkpoint, tmp_path, family):
    entry = FILES[family]
    if entry["content"]["resample"] == 1 and TORCH < (2, 12):
        pytest.skip("this torch has no Lanczos")
    folder = shutil.copytree(checkpoint(family), tmp_path / "copy")
    (folder / entry["file"]).write_text(json.dumps(entry["content"]))
    for case in [case for case in FIXED[family] if "pattern" in case][:2]:
        made = slow_inputs(family, shown(folder, oracle.pattern(*case["pattern"])))
        pixels = made.get("pixel_values_videos", made.get("pixel_values")).reshape(case["shape"])
        torch.testing.assert_close(pixels.flatten()[::9973], torch.tensor(case["every_9973rd"]), atol=1e-5, rtol=0)
        assert pixels.double().sum().item() == pytest.approx(case["sum"], abs=1e-1)


def test_the_file_that_transformers_would_take_counts_alone(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy")
    (folder / "video_preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1] * 3, "resample": None}))
    numbers = shown(folder, oracle.pattern(2, 56, 56)).numbers(patch_size=3, resample=3)
    assert numbers == {"image_mean": [0.1] * 3, "patch_size": 3, "resample": 3}


def test_a_family_that_nobody_wrote_down_cannot_be_checked():
    for ask in (processor_options, lambda family: opening(family, 3, 1.0)):
        with pytest.raises(CannotCheck, match="new_family"):
            ask("new_family")


def test_smolvlm_is_opened_as_transformers_opens_it():
    assert opening("qwen2_vl", 3, 1.0) is None
    assert opening("smolvlm", 3, 0.5) == (
        "You are provided the following series of three frames from a 0:00:06 [H:MM:SS] video.\n"
    )
