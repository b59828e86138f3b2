"""Tiny Qwen2.5-VL: Qwen2-VL's language half, a vision tower with window attention, time in seconds."""

from __future__ import annotations

from infinipot_v.testing.families.qwen2_vl import HIDDEN, files, text_config
from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import CHATML, TinyTokenizer


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """As Qwen2-VL; one vision block looks at windows of 112 pixels, the other at the whole frame."""
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        **text_config(tokenizer),
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": 2,
            "fullatt_block_indexes": [1],
            "hidden_act": "silu",
            "hidden_size": 32,
            "in_channels": 3,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 112,
        },
    }
    processor = "Qwen2_5_VLProcessor"
    return Recipe(config, "AutoModelForImageTextToText", "Qwen2Tokenizer", CHATML, files(tokenizer, processor))
