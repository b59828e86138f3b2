"""Tiny Llama: no vision at all. What a text-only checkpoint must be refused with is tested on it."""

from __future__ import annotations

from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import CHATML, TinyTokenizer


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """4 layers, 4 query and 2 KV heads of 16, one-dimensional RoPE."""
    ids = {"bos_token_id": tokenizer["<|endoftext|>"], "eos_token_id": tokenizer["<|im_end|>"]}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **ids,
        "attention_bias": False,
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": 32768,
        "mlp_bias": False,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vocab_size": len(tokenizer),
    }
    files = {"generation_config.json": {**ids, "pad_token_id": tokenizer["<|endoftext|>"]}}
    return Recipe(config, "AutoModelForCausalLM", "PreTrainedTokenizerFast", CHATML, files)
