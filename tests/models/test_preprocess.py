"""Pixels: against loops, against what Hugging Face's processor made, and at the edges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infinipot_v.models.preprocess import PixelRecipe, fit_grid, letterbox, normalise, patchify_qwen, resize
from infinipot_v.types import UserError
from tests.oracle import pixels as oracle

RECIPE = PixelRecipe()
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "pixels.json").read_text())
SIDES = st.integers(1, 3000)


@pytest.mark.parametrize(("patch", "merge", "temporal"), [(14, 2, 2), (4, 2, 2), (3, 1, 1), (2, 3, 4)])
def test_patches_lie_as_the_loop_lays_them(patch: int, merge: int, temporal: int) -> None:
    pixels = torch.rand(temporal * 2, 3, patch * merge * 2, patch * merge * 3)
    recipe = PixelRecipe(patch_size=patch, merge_size=merge, temporal_patch_size=temporal)
    assert torch.equal(patchify_qwen(pixels, recipe), oracle.patchify(pixels, patch, merge, temporal))


def test_patchify_wants_whole_steps() -> None:
    with pytest.raises(AssertionError, match="3 frames"):
        patchify_qwen(torch.rand(3, 3, 28, 28), RECIPE)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: "x".join(map(str, case["pattern"])))
def test_equals_the_processor_of_hugging_face(case: dict[str, list[int]]) -> None:
    """Golden numbers; tests/golden/make_pixels.py made them with torchvision. On that machine the difference was 0."""
    frames = oracle.pattern(*case["pattern"])
    size = fit_grid(*frames.shape[1:3], RECIPE)
    patches = patchify_qwen(normalise(resize(frames, size), RECIPE), RECIPE)
    assert [len(frames) // 2, size[0] // 14, size[1] // 14] == case["grid"]
    torch.testing.assert_close(patches.flatten()[::9973], torch.tensor(case["every_9973rd"]), atol=2e-6, rtol=0)
    assert patches.double().sum().item() == pytest.approx(case["sum"], abs=1e-2)


def test_equals_the_installed_processor_exactly() -> None:
    pytest.importorskip("torchvision")
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    frames = np.random.default_rng(0).integers(0, 256, (4, 90, 200, 3), dtype=np.uint8)
    processor = Qwen2VLVideoProcessor(size=GOLDEN["size"])
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    theirs = processor(videos=[video], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"]
    ours = patchify_qwen(normalise(resize(frames, fit_grid(90, 200, RECIPE)), RECIPE), RECIPE)
    torch.testing.assert_close(ours, theirs, atol=2e-7, rtol=0)


@given(height=SIDES, width=SIDES, tokens=st.integers(1, 400), least=st.integers(1, 10**6))
def test_the_grid_follows_qwen_and_keeps_the_cap(height: int, width: int, tokens: int, least: int) -> None:
    recipe = PixelRecipe(min_pixels=least)
    most = min(tokens * 784, recipe.max_pixels)
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(UserError, match="elongated"):
            fit_grid(height, width, recipe, tokens)
        return
    size = fit_grid(height, width, recipe, tokens)
    theirs = oracle.qwen_size(height, width, 28, min(least, most), most)
    assert size == theirs or theirs[0] * theirs[1] > most or 0 in theirs
    assert all(side % 28 == 0 and side >= 28 for side in size)
    assert size[0] * size[1] <= most


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("shape", [(28, 5600), (5600, 28), (14, 2800), (1, 200), (1000, 1000), (720, 1280)])
def test_no_shape_passes_the_cap(shape: tuple[int, int], limit: int) -> None:
    height, width = fit_grid(*shape, RECIPE, limit)
    assert (height // 28, width // 28) in oracle.fitting_grids(limit)
    assert (height >= width) == (shape[0] >= shape[1]) or height == width


def test_every_cap_counts() -> None:
    assert fit_grid(720, 1280, RECIPE) == (224, 420)
    assert fit_grid(720, 1280, RECIPE, max_pixels=28 * 28 * 40) == (112, 224)
    assert fit_grid(720, 1280, PixelRecipe(max_pixels=28 * 28 * 40), 128) == (112, 224)
    assert fit_grid(720, 1280, PixelRecipe(max_pixels=10), 128) == (28, 28)


@pytest.mark.parametrize("wrong", [{"tokens_per_step": 0}, {"max_pixels": 783}])
def test_a_cap_below_one_token_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least"):
        fit_grid(100, 100, RECIPE, **wrong)


def test_resize_keeps_what_fits_and_takes_read_only_arrays() -> None:
    frames = oracle.pattern(2, 56, 84)
    frames.setflags(write=False)
    assert torch.equal(resize(frames, (56, 84)), torch.tensor(frames).permute(0, 3, 1, 2))
    assert torch.equal(resize(frames, (28, 28)), resize(torch.tensor(frames), (28, 28)))
    assert torch.equal(resize(frames[:, ::-1], (28, 28)), resize(frames[:, ::-1].copy(), (28, 28)))


@pytest.mark.parametrize("shape", [(10, 100), (100, 10), (3, 300), (56, 84), (40, 40)])
def test_letterbox_keeps_the_aspect_and_fills_with_black(shape: tuple[int, int]) -> None:
    boxed = letterbox(np.full((2, *shape, 3), 200, dtype=np.uint8), (56, 84))
    assert boxed.shape == (2, 3, 56, 84)
    assert boxed.dtype == torch.uint8
    rows, columns = (boxed[0, 0].bool().any(axis).nonzero().flatten() for axis in (1, 0))
    inner = (len(rows), len(columns))
    scale = min(56 / shape[0], 84 / shape[1])
    assert inner == tuple(max(1, round(side * scale)) for side in shape)
    assert int(rows[0]) == (56 - inner[0]) // 2
    assert int(columns[0]) == (84 - inner[1]) // 2
    assert boxed[0, 0].bool().sum() == inner[0] * inner[1]
    assert boxed.max() == 200


@given(st.integers(0, 255))
@settings(max_examples=10)
def test_normalise_is_the_formula(grey: int) -> None:
    pixels = torch.full((1, 3, 2, 2), grey, dtype=torch.uint8)
    expected = [(grey / 255 - mean) / std for mean, std in zip(RECIPE.image_mean, RECIPE.image_std, strict=True)]
    torch.testing.assert_close(normalise(pixels, RECIPE)[0, :, 0, 0], torch.tensor(expected), atol=1e-6, rtol=0)
    assert pixels.dtype == torch.uint8


def test_the_recipe_comes_from_either_file_under_every_name() -> None:
    image = {"image_mean": [0.5] * 3, "min_pixels": 1000, "max_pixels": 2000, "patch_size": 16, "do_resize": True}
    assert PixelRecipe.from_configs(None) == RECIPE
    recipe = PixelRecipe.from_configs(image)
    assert (recipe.image_mean, recipe.min_pixels, recipe.max_pixels, recipe.factor) == ((0.5, 0.5, 0.5), 1000, 2000, 32)
    video = {"size": {"shortest_edge": 10, "longest_edge": 20}, "temporal_patch_size": 4}
    merged = PixelRecipe.from_configs(image, video)
    assert (merged.min_pixels, merged.max_pixels, merged.temporal_patch_size, merged.patch_size) == (10, 20, 4, 16)
    nested = PixelRecipe.from_configs({"image_processor": image, "video_processor": video})
    assert nested == merged
    assert PixelRecipe.from_configs(image | {"size": {"shortest_edge": 7}}).min_pixels == 1000


def test_an_unknown_resampling_is_refused() -> None:
    with pytest.raises(UserError, match="resample=5"):
        PixelRecipe.from_configs({"resample": 5})
