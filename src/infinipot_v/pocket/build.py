"""Writes a checkpoint folder in Hugging Face's layout: config, tokenizer, preprocessor, weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinipot_v.pocket.vocabulary import CHAT_TEMPLATE, SPECIALS, VOCABULARY_SIZE, build_tokenizer

if TYPE_CHECKING:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

CHECKPOINT = Path(__file__).parent / "checkpoint"
HEAD = 32  # channels of one attention head, in both towers
TEXT: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [6, 5, 5]},
}
VISION: dict[str, Any] = {"depth": 4, "embed_dim": 128, "num_heads": 4, "mlp_ratio": 4}
PREPROCESSOR: dict[str, Any] = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2VLProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "patch_size": 14,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "min_pixels": 112 * 112,
    "max_pixels": 112 * 112,
    "size": {"shortest_edge": 112 * 112, "longest_edge": 112 * 112},
}


def build_config() -> Qwen2VLConfig:
    """The architecture: Qwen2-VL with six small layers and a four-layer vision tower."""
    from transformers import Qwen2VLConfig

    token = {name: i for i, name in enumerate(SPECIALS)}
    ends = {"bos_token_id": token["<|endoftext|>"], "eos_token_id": token["<|im_end|>"]}
    text = TEXT | ends | {"vocab_size": VOCABULARY_SIZE, "pad_token_id": token["<|endoftext|>"]}
    return Qwen2VLConfig(
        text_config=text,
        vision_config=VISION | {"hidden_size": TEXT["hidden_size"]},
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIALS),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)


def write_checkpoint(model: Qwen2VLForConditionalGeneration, folder: Path) -> None:
    """Write a model as fp16 with everything that loading it needs. The model is cast in place."""
    import torch
    from transformers import GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    stock: Any = model
    stock.to(torch.float16).save_pretrained(folder)
    text = stock.config.text_config
    ends = {"eos_token_id": [text.eos_token_id, text.pad_token_id], "pad_token_id": text.pad_token_id}
    GenerationConfig(bos_token_id=text.bos_token_id, max_new_tokens=8, **ends).save_pretrained(folder)
    write_tokenizer(folder)
    _write_preprocessors(folder)


def _write_preprocessors(folder: Path) -> None:
    video = PREPROCESSOR | {"video_processor_type": "Qwen2VLVideoProcessor"}
    video = {key: value for key, value in video.items() if key != "image_processor_type"}
    for name, content in (("preprocessor_config", PREPROCESSOR), ("video_preprocessor_config", video)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
