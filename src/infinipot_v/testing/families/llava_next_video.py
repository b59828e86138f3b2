"""Tiny LLaVA-NeXT-Video with a Vicuna: a token before every text, no chat tokens, scaled positions."""

from __future__ import annotations

from typing import Any

from infinipot_v.testing.recipe import Recipe
from infinipot_v.testing.tokenizer import TinyTokenizer

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content[0].text }}"
    "{% else %}{{ message.role.upper() + ': ' }}{% endif %}"
    "{% for item in message.content | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for item in message.content | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for item in message.content | selectattr('type', 'equalto', 'text') %}{{ item.text + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def recipe(tokenizer: TinyTokenizer) -> Recipe:
    """4 layers, 4 query and 4 KV heads of 16; a CLIP tower whose 4 x 4 patches are pooled to 2 x 2."""
    tokenizer.add("<s>", "</s>", "<video>", "<image>", eos_token="</s>")
    tokenizer.begin_with("<s>")
    ids = {"bos_token_id": tokenizer["<s>"], "eos_token_id": tokenizer["</s>"]}
    return Recipe(
        _config(tokenizer, ids),
        "AutoModelForImageTextToText",
        "PreTrainedTokenizerFast",
        TEMPLATE,
        _files(ids),
        text_template="",
    )


def _config(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["LlavaNextVideoForConditionalGeneration"],
        "model_type": "llava_next_video",
        "ignore_index": -100,
        "image_grid_pinpoints": [[56, 112], [112, 56]],
        "image_token_index": tokenizer["<image>"],
        "video_token_index": tokenizer["<video>"],
        "projector_hidden_act": "gelu",
        "spatial_pool_mode": "average",
        "spatial_pool_out_channels": 32,
        "spatial_pool_stride": 2,
        "text_config": _text_config(tokenizer, ids),
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_image_newline_parameter": True,
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "image_size": 56,
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "num_hidden_layers": 3,
            "patch_size": 14,
            "projection_dim": 32,
            "vocab_size": 32000,
        },
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


def _text_config(tokenizer: TinyTokenizer, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **ids,
        "hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": 32768,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 4,
        "pad_token_id": 0,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 2.5, "type": "linear"},
        "torch_dtype": "float32",
        "vocab_size": len(tokenizer),
    }


def _files(ids: dict[str, int]) -> dict[str, dict[str, Any]]:
    return {
        "generation_config.json": {"_from_model_config": True, **ids, "pad_token_id": 0},
        "preprocessor_config.json": {
            "crop_size": {"height": 56, "width": 56},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_grid_pinpoints": [[56, 112], [112, 56]],
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "LlavaNextImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "LlavaNextVideoProcessor",
            "resample": 3,
            "rescale_factor": 0.00392156862745098,
            "size": {"shortest_edge": 56},
        },
        "processor_config.json": {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": 14,
            "processor_class": "LlavaNextVideoProcessor",
            "video_token": "<video>",
            "vision_feature_select_strategy": "default",
        },
    }
