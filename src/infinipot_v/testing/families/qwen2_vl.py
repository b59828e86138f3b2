"""Tiny Qwen2-VL, config.json flat as on the hub."""

from __future__ import annotations

from typing import Any

from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import CHATML, TinyTokenizer

HIDDEN = 64


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """4 layers, 4 query and 2 KV heads of 16, M-RoPE sections 2 + 3 + 3; a vision tower of 2 blocks."""
    config = {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        **text_config(tokenizer),
        "vision_config": {
            "model_type": "qwen2_vl",
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": HIDDEN,
            "mlp_ratio": 2,
            "num_heads": 2,
            "in_channels": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
    }
    return Recipe(config, "AutoModelForImageTextToText", "Qwen2Tokenizer", CHATML, files(tokenizer, "Qwen2VLProcessor"))


def text_config(tokenizer: TinyTokenizer) -> dict[str, Any]:
    """The language half, at the top level of config.json, with the ids of the vision tokens."""
    return {
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer["<|endoftext|>"],
        "eos_token_id": tokenizer["<|im_end|>"],
        "vision_start_token_id": tokenizer["<|vision_start|>"],
        "vision_end_token_id": tokenizer["<|vision_end|>"],
        "vision_token_id": tokenizer["<|vision_pad|>"],
        "image_token_id": tokenizer["<|image_pad|>"],
        "video_token_id": tokenizer["<|video_pad|>"],
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": 128,
        "max_position_embeddings": 32768,
        "max_window_layers": 4,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": len(tokenizer),
    }


def files(tokenizer: TinyTokenizer, processor: str) -> dict[str, dict[str, Any]]:
    """generation_config.json and preprocessor_config.json with the values the hub has."""
    return {
        "generation_config.json": {
            "bos_token_id": tokenizer["<|endoftext|>"],
            "do_sample": True,
            "eos_token_id": [tokenizer["<|im_end|>"], tokenizer["<|endoftext|>"]],
            "pad_token_id": tokenizer["<|endoftext|>"],
            "temperature": 0.1,
            "top_k": 1,
            "top_p": 0.001,
        },
        "preprocessor_config.json": {
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "Qwen2VLImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "max_pixels": 12845056,
            "merge_size": 2,
            "min_pixels": 3136,
            "patch_size": 14,
            "processor_class": processor,
            "temporal_patch_size": 2,
        },
    }
