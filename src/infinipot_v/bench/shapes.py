"""Models of a known shape with random weights: public config numbers, nothing to download, made on the device.

A shape is the tiny checkpoint of its family (`infinipot_v.testing`) with other numbers. So tokenizer, template and
pixels are those of the tests; vocabulary, layers and heads are the real model's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from infinipot_v.bench.weights import fill
from infinipot_v.models import adapter_for, family_names
from infinipot_v.models.attention import use_grouped
from infinipot_v.models.base import Model
from infinipot_v.models.load import load_model
from infinipot_v.nearest import did_you_mean
from infinipot_v.testing import families
from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import TinyTokenizer
from infinipot_v.types import UserError

PIXEL_FILES = ("preprocessor_config.json", "video_preprocessor_config.json")
WIDE = (448, 896)
"""Frames that become 8 x 16 = 128 tokens in the Qwen families, at half their size."""


@dataclass(frozen=True)
class Shape:
    """`config` and `pixels` are laid over the tiny checkpoint's config.json and preprocessor files.

    `frame` is the size (height, width) of the frames that are shown. Without a `family`, the shape is the embedded
    model. `exact_only`: too small for figures of speed and memory to mean anything.
    """

    name: str
    family: str | None
    config: Mapping[str, Any] = field(default_factory=dict)
    pixels: Mapping[str, Any] = field(default_factory=dict)
    frame: tuple[int, int] = WIDE
    dtype: str = "bfloat16"
    exact_only: bool = False

    @property
    def small(self) -> bool:
        """The embedded model and the tiny ones: a laptop's core runs thousands of their steps in minutes."""
        return self.exact_only or self.family is None


QWEN2_7B = {
    "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_hidden_layers": 28,
    "num_key_value_heads": 4, "max_window_layers": 28, "rope_theta": 1000000.0,
}  # fmt: skip
QWEN_ROPE = {"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}
QWEN25_VISION = {"depth": 32, "fullatt_block_indexes": [7, 15, 23, 31], "hidden_size": 1280, "intermediate_size": 3420,
                 "num_heads": 16, "window_size": 112, "tokens_per_second": 2}  # fmt: skip
SIGLIP_384 = {"hidden_size": 1152, "image_size": 384, "intermediate_size": 4304, "num_attention_heads": 16,
              "num_hidden_layers": 26, "patch_size": 14}  # fmt: skip
PIXELS_384 = {"size": {"height": 384, "width": 384}}

REAL = (
    Shape("qwen2-vl-7b", "qwen2_vl", {
        **QWEN2_7B, **QWEN_ROPE, "vocab_size": 152064, "max_position_embeddings": 32768,
        "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "mlp_ratio": 4, "num_heads": 16},
    }),
    Shape("qwen2.5-vl-3b", "qwen2_5_vl", {
        **QWEN_ROPE, "hidden_size": 2048, "intermediate_size": 11008, "num_attention_heads": 16,
        "num_hidden_layers": 36, "num_key_value_heads": 2, "max_window_layers": 70, "rope_theta": 1000000.0,
        "vocab_size": 151936, "max_position_embeddings": 128000, "tie_word_embeddings": True,
        "vision_config": {**QWEN25_VISION, "out_hidden_size": 2048},
    }),
    Shape("qwen2.5-vl-7b", "qwen2_5_vl", {
        **QWEN2_7B, **QWEN_ROPE, "vocab_size": 152064, "max_position_embeddings": 128000,
        "vision_config": {**QWEN25_VISION, "out_hidden_size": 3584},
    }),
    Shape("llava-onevision-7b", "llava_onevision", {
        "text_config": {**QWEN2_7B, "vocab_size": 152064, "max_position_embeddings": 32768},
        "vision_config": SIGLIP_384,
    }, PIXELS_384),
    Shape("llava-onevision-0.5b", "llava_onevision", {
        "text_config": {
            "hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "num_hidden_layers": 24,
            "num_key_value_heads": 2, "max_window_layers": 24, "rope_theta": 1000000.0, "vocab_size": 152000,
            "max_position_embeddings": 32768, "tie_word_embeddings": True,
        },
        "tie_word_embeddings": True,
        "vision_config": SIGLIP_384,
    }, PIXELS_384),
    Shape("smolvlm2-500m", "smolvlm", {
        "scale_factor": 4, "vocab_size": 49280,
        "text_config": {
            "head_dim": 64, "hidden_size": 960, "intermediate_size": 2560, "max_position_embeddings": 8192,
            "num_attention_heads": 15, "num_hidden_layers": 32, "num_key_value_heads": 5, "pixel_shuffle_factor": 4,
            "rope_theta": 100000, "vocab_size": 49280,
        },
        "vision_config": {
            "hidden_size": 768, "image_size": 512, "intermediate_size": 3072, "max_image_size": {"longest_edge": 512},
            "num_attention_heads": 12, "num_hidden_layers": 12, "patch_size": 16, "size": {"longest_edge": 2048},
        },
    }, {"max_image_size": {"longest_edge": 512}, "size": {"longest_edge": 2048},
        "video_sampling": {"video_size": {"longest_edge": 512}}}),
)  # fmt: skip
POCKET = Shape("pocket", None, frame=(112, 112))
ALIASES = {"0.5b": "llava-onevision-0.5b"}
DEFAULT = ("qwen2-vl-7b", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "llava-onevision-7b")


def tiny_shapes() -> tuple[Shape, ...]:
    """The tiny checkpoint of every supported family, in float32."""
    both = [family for family in family_names() if family in families()]
    return tuple(Shape(f"tiny-{family}", family, frame=(112, 112), dtype="float32", exact_only=True) for family in both)


def shape_names() -> tuple[str, ...]:
    """All names that `shapes_of` knows."""
    return (*(shape.name for shape in REAL), *ALIASES, POCKET.name, "tiny", *(shape.name for shape in tiny_shapes()))


def shapes_of(names: tuple[str, ...]) -> tuple[Shape, ...]:
    """The shapes of names, each once; `tiny` means all tiny ones. Raises `UserError` for an unknown name, or none."""
    known = {shape.name: (shape,) for shape in (*REAL, POCKET, *tiny_shapes())} | {"tiny": tiny_shapes()}
    known |= {alias: known[name] for alias, name in ALIASES.items()}
    for name in names:
        if name not in known:
            raise UserError(f"unknown shape {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}")
    if not names:
        raise UserError(f"no shape was named: give some of {', '.join(known)}")
    return tuple({shape.name: shape for name in names for shape in known[name]}.values())


def build(shape: Shape, device: str, layers: int | None = None, positions: int | None = None, seed: int = 0) -> Model:
    """The model of a shape on `device`, weights random and the same for the same `seed`.

    `layers` is the most that the language model and the vision tower may have. `positions` is the least that a family
    with one position a token shall have, so that long controls can be run at all.
    """
    if shape.family is None:
        return load_model(shape.name, device=device, dtype=shape.dtype)
    adapter, tokenizer = adapter_for(shape.family), TinyTokenizer()
    recipe: Recipe = import_module(f"infinipot_v.testing.families.{shape.family}").recipe(tokenizer)
    config = config_of(recipe, shape, layers)
    if positions and adapter.default_positions == "compact":
        text = config.get("text_config", config)
        text["max_position_embeddings"] = max(positions, text["max_position_embeddings"])
    read, words = _as_read(config, recipe, tokenizer)
    hf = _random_model(read, recipe, shape, device, seed)
    pixels = [recipe.files.get(name) and merged(recipe.files[name], shape.pixels) for name in PIXEL_FILES]
    prompt = adapter.prompt_of(words, [recipe.chat_template], hf.config)
    model = adapter(hf, prompt, adapter.recipe_of(pixels[0] or recipe.files.get("processor_config.json"), pixels[1]),
                    shape.name)  # fmt: skip
    model.check()
    return model


def config_of(recipe: Recipe, shape: Shape, layers: int | None = None) -> dict[str, Any]:
    """The shape's config.json."""
    config = merged(recipe.config, shape.config)
    text, vision = config.get("text_config", config), config["vision_config"]
    for home, key in ((text, "num_hidden_layers"), (vision, "depth"), (vision, "num_hidden_layers")):
        if layers is not None and key in home:
            home[key] = min(layers, home[key])
    return config


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over` laid on it, mappings inside mappings too."""
    both = dict(base)
    for key, value in over.items():
        inner = base.get(key)
        nested = isinstance(value, Mapping) and isinstance(inner, Mapping)
        both[key] = merged(inner, value) if nested and inner is not None else value
    return both


def _as_read(config: dict[str, Any], recipe: Recipe, tokenizer: TinyTokenizer) -> tuple[Any, Any]:
    """Configuration and tokenizer, read by transformers from files, as a checkpoint's are."""
    from transformers import AutoConfig, AutoTokenizer

    with TemporaryDirectory() as folder:
        tokenizer.write(Path(folder), recipe.tokenizer_class, recipe.chat_template)
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def _random_model(config: Any, recipe: Recipe, shape: Shape, device: str, seed: int) -> Any:
    import transformers

    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []), place:
        torch.manual_seed(seed)  # a few vectors start from a random value of their own
        hf = getattr(transformers, recipe.auto_class).from_config(
            config, dtype=getattr(torch, shape.dtype), attn_implementation="sdpa"
        )
    fill(hf, seed, recipe.gain)
    use_grouped(hf)
    return hf.eval().requires_grad_(False)
