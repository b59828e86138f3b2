"""Tiny LLaVA-OneVision, config.json nested as on the hub, where much of text_config is left to its defaults."""

from __future__ import annotations

from typing import Any

from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import TinyTokenizer

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + ' ' }}"
    "{% for item in message.content | selectattr('type', 'equalto', 'image') %}<image>{% endfor %}"
    "{% for item in message.content | selectattr('type', 'equalto', 'video') %}<video>{% endfor %}"
    "{% for item in message.content | selectattr('type', 'equalto', 'text') %}{{ '\n' + item.text }}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Qwen2's, which lies in tokenizer_config.json and knows text only."""


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """4 layers, 4 query and 2 KV heads of 16; a SigLIP tower whose 3 x 3 patches are pooled to 2 x 2."""
    tokenizer.add("<image>", "<video>")
    ids = {"bos_token_id": tokenizer["<|endoftext|>"], "eos_token_id": tokenizer["<|im_end|>"]}
    return Recipe(
        _config(tokenizer, ids), "AutoModelForImageTextToText", "Qwen2Tokenizer", TEMPLATE, _files(ids), TEXT_TEMPLATE
    )


def _config(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "model_type": "llava_onevision",
        "ignore_index": -100,
        "image_grid_pinpoints": [[42, 42], [42, 84], [84, 42]],
        "image_token_index": tokenizer["<image>"],
        "video_token_index": tokenizer["<video>"],
        "projector_hidden_act": "gelu",
        "text_config": _text_config(tokenizer, ids),
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_image_newline_parameter": True,
        "vision_aspect_ratio": "anyres_max_9",
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "image_size": 42,
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "patch_size": 14,
            "vision_use_head": False,
        },
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
    }


def _text_config(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        **ids,
        "hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": 32768,
        "max_window_layers": 4,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "rope_theta": 1000000.0,
        "torch_dtype": "float32",
        "vocab_size": len(tokenizer),
    }


def _files(ids: dict[str, int]) -> dict[str, dict[str, Any]]:
    pixels = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "LlavaOnevisionProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": 42, "width": 42},
    }
    return {
        "generation_config.json": {"_from_model_config": True, **ids},
        "preprocessor_config.json": {"image_processor_type": "LlavaOnevisionImageProcessor", **pixels},
        "processor_config.json": {
            "num_image_tokens": 9,
            "processor_class": "LlavaOnevisionProcessor",
            "vision_aspect_ratio": "anyres_max_9",
            "vision_feature_select_strategy": "full",
        },
        "video_preprocessor_config.json": {
            "crop_size": None,
            "do_center_crop": None,
            "do_sample_frames": False,
            "video_processor_type": "LlavaOnevisionVideoProcessor",
            **pixels,
        },
    }
