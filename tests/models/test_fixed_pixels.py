"""Pixels of the families with one picture size: against what Hugging Face's processors made, and at the edges."""

from __future__ import annotations

import importlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from infinipot_v.models import adapter_for
from infinipot_v.models.preprocess import FixedRecipe, crop_centre, normalise
from infinipot_v.models.preprocess.pixels import lanczos_mode
from infinipot_v.types import UserError
from tests.families import FIXED
from tests.oracle import pixels as oracle
from tests.videos import first_frame

HERE = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((HERE / "fixed_pixels.json").read_text())
FILES = json.loads((HERE / "preprocessors.json").read_text())
CASES = [(family, case) for family in FIXED for case in GOLDEN[family]]


def recipe_of(family: str) -> FixedRecipe:
    """The recipe of the checkpoint whose file lies in tests/golden/preprocessors.json."""
    files = {FILES[family]["file"]: FILES[family]["content"]}
    return adapter_for(family).recipe_of(
        files.get("preprocessor_config.json"), files.get("video_preprocessor_config.json")
    )


def name_of(value: object) -> str:
    return str(value.get("clip", value.get("pattern"))) if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(("family", "case"), CASES, ids=name_of)
def test_equals_the_processor_of_hugging_face(family, case, request):
    """Golden numbers; tests/golden/make_fixed_pixels.py made them with torchvision. There the difference was 0."""
    if FILES[family]["content"]["resample"] == 1 and lanczos_mode() != "lanczos":
        pytest.skip("this torch has no Lanczos; transformers falls back to bicubic with it, and so do we")
    if "clip" in case:
        frames = first_frame(request.getfixturevalue("media") / case["clip"])[None]
        if zlib.crc32(frames.tobytes()) != case["crc32"]:
            pytest.skip("this decoder gives other pixels than the one the golden numbers were made with")
    else:
        frames = oracle.pattern(*case["pattern"])
    recipe = recipe_of(family)
    pixels = normalise(recipe.show(frames), recipe)
    assert list(pixels.shape) == case["shape"]
    torch.testing.assert_close(pixels.flatten()[::9973], torch.tensor(case["every_9973rd"]), atol=1e-5, rtol=0)
    assert pixels.double().sum().item() == pytest.approx(case["sum"], abs=1e-2)


@pytest.mark.parametrize("family", FIXED)
def test_equals_the_installed_processor_exactly(family, tmp_path, media):
    pytest.importorskip("torchvision")
    processor = importlib.import_module("tests.golden.make_fixed_pixels").processor_of(family, tmp_path)
    recipe = recipe_of(family)
    for path in sorted(media.glob("*.mp4")):
        frames = first_frame(path)[None]
        made = processor(
            videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)], do_sample_frames=False, return_tensors="pt"
        )
        theirs = made["pixel_values_videos"] if "pixel_values_videos" in made else made["pixel_values"]
        torch.testing.assert_close(normalise(recipe.show(frames), recipe), theirs[0], atol=1e-6, rtol=0)


def test_the_first_file_that_transformers_would_take_counts_alone():
    stretched = {"size": {"height": 28, "width": 42}, "image_mean": [0.1] * 3}
    cropped = {"size": {"shortest_edge": 56}, "crop_size": {"height": 28, "width": 42}, "do_center_crop": True}
    assert FixedRecipe.from_configs(cropped, stretched).shortest is None
    assert FixedRecipe.from_configs(cropped, None).shortest == 56
    assert FixedRecipe.from_configs({"video_processor": cropped}, stretched).image_mean == FixedRecipe().image_mean
    assert FixedRecipe.from_configs(stretched, None, image_std=(2,) * 3).image_std == (2, 2, 2)
    assert FixedRecipe.from_configs({"size": 30}, None).pixels == (30, 30)
    assert FixedRecipe.from_configs(cropped | {"do_center_crop": None}, None, do_center_crop=True).shortest == 56


def test_a_sampled_size_counts_where_there_is_no_other():
    files = {"max_image_size": {"longest_edge": 64}, "video_sampling": {"video_size": {"longest_edge": 100}}}
    assert FixedRecipe.from_configs(files, None).longest == 100
    assert FixedRecipe.from_configs(files | {"size": {"longest_edge": 300}}, None).longest == 300


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"size": None}, {"size": {"shortest_edge": 30}}, {"size": {"longest_edge": 30}}, {"size": {"height": 30}},
        {"size": {"height": -1, "width": 30}}, {"size": {"height": "30", "width": 30}},
        {"size": 30, "do_resize": False}, {"size": 30, "do_normalize": False}, {"size": 30, "resample": 5},
        {"size": 30, "image_std": [0, 1, 1]}, {"size": {"shortest_edge": 30}, "crop_size": 31, "do_center_crop": True},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_reproduced_is_refused_in_one_line(wrong):
    with pytest.raises(UserError) as error:
        FixedRecipe.from_configs(wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(90, 140), (140, 90), (57, 57), (56, 300), (720, 1280)])
def test_a_frame_is_cut_out_of_the_middle(shape):
    recipe = FixedRecipe(height=56, width=42, shortest=60)
    (size,) = recipe.sizes(*shape)
    assert min(size) == 60
    assert max(size) == 60 * max(shape) // min(shape)
    assert (size[0] >= size[1]) == (shape[0] >= shape[1]) or size[0] == size[1]
    assert recipe.show(np.zeros((2, *shape, 3), dtype=np.uint8)).shape == (2, 3, 56, 42)


@pytest.mark.parametrize(("full", "size"), [((8, 8), (4, 4)), ((9, 8), (4, 5)), ((5, 7), (5, 7)), ((6, 9), (3, 2))])
def test_the_middle_is_where_the_loop_finds_it(full, size):
    pixels = torch.arange(full[0] * full[1]).reshape(1, 1, *full)
    above, left = (full[0] - size[0]) // 2, (full[1] - size[1]) // 2
    rows = [[int(pixels[0, 0, above + y, left + x]) for x in range(size[1])] for y in range(size[0])]
    assert crop_centre(pixels, size)[0, 0].tolist() == rows


@pytest.mark.parametrize(
    ("shape", "first"),
    [((100, 150), (134, 200)), ((140, 90), (200, 128)), ((100, 100), (200, 200)), ((1, 999), (1, 200))],
)
def test_the_longer_side_comes_first(shape, first):
    """The other is cut to a whole number, and an odd one made even: 200 * 100 / 150 = 133.3 -> 133 -> 134."""
    assert FixedRecipe(height=64, width=64, longest=200).sizes(*shape) == [first, (64, 64)]
    assert FixedRecipe(height=64, width=64, longest=9999).sizes(100, 100)[0] == (4096, 4096)
