"""LLaVA-NeXT-Video: the shorter side to one length, the middle cut out, a quarter of the patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from infinipot_v.verify.plain.shown import Shown, normalised

PROCESSOR_OPTIONS: dict[str, Any] = {}


def inputs(shown: Shown) -> dict[str, Any]:
    """See `plain.slow_inputs`."""
    numbers = shown.numbers(resample=3)
    pixels = torch.from_numpy(normalised(_cut_out(shown, numbers), numbers))
    patch = int(shown.files.json("processor_config.json")["patch_size"])
    count = len(pixels) * ((pixels.shape[2] // patch) * (pixels.shape[3] // patch) // 4)
    pad = str(shown.tokenizer.convert_ids_to_tokens(shown.config.video_token_id))
    return {"input_ids": shown.ids(shown.rendered().replace(pad, pad * count)), "pixel_values_videos": pixels[None]}


def load_processor(shown: Shown) -> Any:
    """Part by part: transformers 5.23's AutoProcessor takes the processor for its own video processor, without end."""
    from transformers import AutoImageProcessor, LlavaNextVideoProcessor
    from transformers.models.llava_next_video.video_processing_llava_next_video import LlavaNextVideoVideoProcessor

    place, where = shown.files.place, shown.files.where
    own = shown.files.json("processor_config.json")
    names = ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens")
    return LlavaNextVideoProcessor(
        video_processor=LlavaNextVideoVideoProcessor.from_pretrained(place, **where),
        image_processor=AutoImageProcessor.from_pretrained(place, **where), tokenizer=shown.tokenizer,
        chat_template=shown.template, **{name: own[name] for name in names if name in own},
    )  # fmt: skip


def _cut_out(shown: Shown, numbers: dict[str, Any]) -> np.ndarray:
    height, width = shown.pictures.shape[1:3]
    shortest, crop = numbers["size"]["shortest_edge"], numbers["crop_size"]
    long = int(shortest * max(height, width) / min(height, width))
    pictures = shown.resized((shortest, long) if height <= width else (long, shortest), numbers["resample"])
    top, left = (pictures.shape[1] - crop["height"]) // 2, (pictures.shape[2] - crop["width"]) // 2
    return pictures[:, top : top + crop["height"], left : left + crop["width"]]
