"""Tiny Qwen3.5 text tower: three linear (recurrent) layers to one of full attention. For tests of the cache."""

from __future__ import annotations

from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import CHATML, TinyTokenizer

LAYERS = ["linear_attention", "linear_attention", "linear_attention", "full_attention"]


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """8 layers in two periods; full layers: 4 query and 2 KV heads of 32, a quarter of them rotated, by 2 + 1 + 1."""
    ids = {"bos_token_id": tokenizer["<|endoftext|>"], "eos_token_id": tokenizer["<|im_end|>"]}
    config = {
        "architectures": ["Qwen3_5ForCausalLM"],
        "model_type": "qwen3_5_text",
        **ids,
        "attention_bias": False,
        "dtype": "float32",
        "head_dim": 32,
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 128,
        "layer_types": LAYERS * 2,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_value_head_dim": 16,
        "max_position_embeddings": 32768,
        "num_attention_heads": 4,
        "num_hidden_layers": 8,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {
            "mrope_interleaved": True,
            "mrope_section": [2, 1, 1],
            "partial_rotary_factor": 0.25,
            "rope_theta": 10000000.0,
            "rope_type": "default",
        },
        "tie_word_embeddings": False,
        "vocab_size": len(tokenizer),
    }
    files = {"generation_config.json": {**ids, "pad_token_id": tokenizer["<|endoftext|>"]}}
    return Recipe(config, "AutoModelForCausalLM", "Qwen2Tokenizer", CHATML, files, gain=0.6)
