"""Tiny SmolVLM2: its own templates know no videos, and its files name two sizes for one frame."""

from __future__ import annotations

from typing import Any

from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import TinyTokenizer

TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message.role | capitalize }}: {% for item in message.content %}"
    "{% if item.type == 'text' %}{{ item.text }}{% elif item.type == 'image' %}<image>{% endif %}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """4 layers, 4 query and 2 KV heads of 16; a SigLIP tower whose 4 x 4 patches become 2 x 2 tokens."""
    tokenizer.add(
        "<fake_token_around_image>", "<global-img>", "<image>", "<row_1_col_1>", "<end_of_utterance>",
        bos_token="<|im_start|>", eos_token="<end_of_utterance>",
    )  # fmt: skip
    ids = {"bos_token_id": tokenizer["<|im_start|>"], "eos_token_id": tokenizer["<end_of_utterance>"]}
    return Recipe(
        _config(tokenizer, ids),
        "AutoModelForImageTextToText",
        "PreTrainedTokenizerFast",
        TEMPLATE,
        _files(tokenizer, ids),
    )


def _config(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["SmolVLMForConditionalGeneration"],
        "model_type": "smolvlm",
        "image_token_id": tokenizer["<image>"],
        "pad_token_id": tokenizer["<|endoftext|>"],
        "scale_factor": 2,
        "text_config": _text_config(tokenizer),
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": False,
        "vision_config": {
            "model_type": "smolvlm_vision",
            "hidden_size": 32,
            "image_size": 64,
            "intermediate_size": 64,
            "max_image_size": {"longest_edge": 64},
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "patch_size": 16,
            "size": {"longest_edge": 256},
        },
        "vocab_size": len(tokenizer),
    }


def _text_config(tokenizer: TinyTokenizer) -> dict[str, Any]:
    return {
        "architectures": ["VLlama3ForCausalLM"],
        "model_type": "llama",
        "head_dim": 16,
        "hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": 32768,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "pad_token_id": 2,
        "pixel_shuffle_factor": 2,
        "rms_norm_eps": 1e-05,
        "rope_theta": 100000,
        "torch_dtype": "float32",
        "vocab_size": len(tokenizer),
    }


def _files(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, dict[str, Any]]:
    return {
        "generation_config.json": {"_from_model_config": True, **ids, "pad_token_id": tokenizer["<|endoftext|>"]},
        "preprocessor_config.json": {
            "do_convert_rgb": True,
            "do_image_splitting": True,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SmolVLMImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "max_image_size": {"longest_edge": 64},
            "processor_class": "SmolVLMProcessor",
            "resample": 1,
            "rescale_factor": 0.00392156862745098,
            "size": {"longest_edge": 256},
            "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 64}},
        },
        "processor_config.json": {"image_seq_len": 4, "processor_class": "SmolVLMProcessor"},
    }
