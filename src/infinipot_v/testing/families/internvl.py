"""Tiny InternVL3 in transformers' layout: the video's token has an id that the embedding table need not have."""

from __future__ import annotations

from typing import Any

from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import TinyTokenizer

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for item in message.content %}"
    "{% if item.type == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% elif item.type == 'video' %}{{ '<video>\n' }}"
    "{% elif item.type == 'text' %}{{ item.text }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """4 layers, 4 query and 2 KV heads of 16, scaled positions; a tower whose 4 x 4 patches become 2 x 2 tokens."""
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    tokenizer.add(*names.values(), "<video>", video_token="<video>", **names)
    ids = {"bos_token_id": tokenizer["<|endoftext|>"], "eos_token_id": tokenizer["<|im_end|>"]}
    return Recipe(
        _config(tokenizer, ids), "AutoModelForImageTextToText", "Qwen2Tokenizer", TEMPLATE, _files(ids),
        text_template="", template_file="chat_template.jinja",
    )  # fmt: skip


def _config(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["InternVLForConditionalGeneration"],
        "model_type": "internvl",
        "downsample_ratio": 0.5,
        "image_seq_length": 4,
        "image_token_id": tokenizer["<IMG_CONTEXT>"],
        "projector_hidden_act": "gelu",
        "text_config": _text_config(tokenizer, ids),
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "internvl_vision",
            "attention_bias": True,
            "hidden_act": "gelu",
            "hidden_size": 32,
            "image_size": [56, 56],
            "intermediate_size": 64,
            "layer_norm_eps": 1e-06,
            "layer_scale_init_value": 0.1,
            "norm_type": "layer_norm",
            "num_attention_heads": 2,
            "num_channels": 3,
            "num_hidden_layers": 2,
            "patch_size": [14, 14],
            "use_absolute_position_embeddings": True,
            "use_mask_token": False,
            "use_mean_pooling": True,
            "use_qk_norm": False,
        },
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
    }


def _text_config(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        **ids,
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": 32768,
        "max_window_layers": 70,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"},
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": len(tokenizer),
    }


def _files(ids: dict[str, int]) -> dict[str, dict[str, Any]]:
    return {
        "generation_config.json": {"_from_model_config": True, **ids},
        "preprocessor_config.json": {
            "crop_size": None,
            "crop_to_patches": False,
            "data_format": "channels_first",
            "default_to_square": True,
            "do_center_crop": None,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_processor_type": "GotOcr2ImageProcessorFast",
            "image_std": [0.229, 0.224, 0.225],
            "max_patches": 12,
            "min_patches": 1,
            "processor_class": "InternVLProcessor",
            "resample": 3,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": 56, "width": 56},
        },
        "processor_config.json": {"image_seq_length": 4, "processor_class": "InternVLProcessor"},
    }
