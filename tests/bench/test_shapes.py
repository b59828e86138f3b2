"""Shapes are the real models' to the last parameter, and their weights are random, repeatable and of a good size."""

from __future__ import annotations

import importlib

import pytest
import torch
import transformers

from infinipot_v import UserError
from infinipot_v.bench import shapes as shapes_module
from infinipot_v.bench.shapes import DEFAULT, REAL, Shape, build, config_of, merged, shape_names, shapes_of
from infinipot_v.models import family_names
from infinipot_v.testing.tokenizer import TinyTokenizer

PUBLIC = {
    "qwen2-vl-7b": 8_291_375_616,
    "qwen2.5-vl-3b": 3_754_622_976,
    "qwen2.5-vl-7b": 8_292_166_656,
    "llava-onevision-7b": 8_030_348_832,
    "smolvlm2-500m": 507_482_304,
}
"""Parameters of the released checkpoints, as their model cards count them."""


def outline(shape: Shape, layers=None):
    """The model without any weights, and its configuration."""
    tokenizer = TinyTokenizer()
    recipe = importlib.import_module(f"infinipot_v.testing.families.{shape.family}").recipe(tokenizer)
    config, _ = shapes_module._as_read(config_of(recipe, shape, layers), recipe, tokenizer)
    with torch.device("meta"):
        return getattr(transformers, recipe.auto_class).from_config(config, dtype=torch.bfloat16)


@pytest.mark.contract
@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_are_as_many_as_the_released_checkpoints(name):
    (shape,) = shapes_of((name,))
    assert sum(parameter.numel() for parameter in outline(shape).parameters()) == PUBLIC[name]


def test_what_the_memory_depends_on():
    found = {}
    for shape in REAL:
        text = outline(shape).config.get_text_config(decoder=True)
        dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        found[shape.name] = (text.num_hidden_layers, text.num_key_value_heads, dim, text.rope_parameters["rope_theta"])
    assert found == {
        "qwen2-vl-7b": (28, 4, 128, 1e6),
        "qwen2.5-vl-3b": (36, 2, 128, 1e6),
        "qwen2.5-vl-7b": (28, 4, 128, 1e6),
        "llava-onevision-7b": (28, 4, 128, 1e6),
        "llava-onevision-0.5b": (24, 2, 64, 1e6),
        "smolvlm2-500m": (32, 5, 64, 1e5),
    }


def test_layers_can_be_fewer():
    model = outline(shapes_of(("qwen2.5-vl-3b",))[0], layers=2)
    assert len(model.get_decoder().layers) == len(model.model.visual.blocks) == 2
    assert model.lm_head.weight is model.get_input_embeddings().weight, "the real one is tied"


def test_names():
    assert set(DEFAULT) < set(PUBLIC) < set(shape_names())
    assert [shape.family for shape in shapes_of(("tiny",))] == list(family_names())
    assert [shape.name for shape in shapes_of(("tiny-smolvlm", "tiny", "tiny-smolvlm"))].count("tiny-smolvlm") == 1
    with pytest.raises(UserError, match=r"unknown shape 'qwen2-vl-7'.*did you mean 'qwen2-vl-7b'"):
        shapes_of(("qwen2-vl-7",))
    with pytest.raises(UserError, match="no shape"):
        shapes_of(())


def test_merging_leaves_what_is_not_named():
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merged(base, {"a": {"c": 3}, "d": [2], "e": 4}) == {"a": {"b": 1, "c": 3}, "d": [2], "e": 4}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}


@pytest.mark.contract
def test_every_tiny_shape_is_built_and_repeats():
    for shape in shapes_of(("tiny",)):
        one, two, other = (dict(build(shape, "cpu", seed=seed).hf.named_parameters()) for seed in (0, 0, 1))
        assert all(torch.equal(one[name], two[name]) for name in one)
        differing = [name for name in one if not torch.equal(one[name], other[name])]
        assert len(differing) == len(one), f"{shape.name}: not every weight is random"


def test_weights_keep_activations_at_one():
    (shape,) = shapes_of(("tiny-qwen2_vl",))
    wide = Shape("wide", "qwen2_vl", {"hidden_size": 256, "vision_config": {"hidden_size": 256}}, dtype="bfloat16")
    for model in (build(shape, "cpu"), build(wide, "cpu", layers=3)):
        weight = model.hf.get_decoder().layers[0].mlp.down_proj.weight.float()
        assert float(weight.std()) == pytest.approx(weight.shape[1] ** -0.5, rel=0.1)
        assert float(model.hf.get_input_embeddings().weight.float().std()) == pytest.approx(1, rel=0.1)
    assert model.hf.dtype == torch.bfloat16 and len(model.hf.get_decoder().layers) == 3


def test_tied_embeddings_make_logits_of_size_one():
    config = {"tie_word_embeddings": True}
    tied = build(Shape("tied", "qwen2_5_vl", config, dtype="float32"), "cpu").hf
    assert float(tied.lm_head.weight.std()) == pytest.approx(64**-0.5, rel=0.1)


def test_only_one_position_a_token_is_given_more_of_them():
    limits = {
        name: build(shapes_of((f"tiny-{name}",))[0], "cpu", positions=100_000).position_limit
        for name in ("qwen2_vl", "llava_onevision")
    }
    assert limits == {"qwen2_vl": 32_768, "llava_onevision": 100_000}


def test_the_embedded_model_is_a_shape():
    model = build(shapes_of(("pocket",))[0], "cpu")
    assert model.name == "pocket" and model.hf.dtype == torch.bfloat16
