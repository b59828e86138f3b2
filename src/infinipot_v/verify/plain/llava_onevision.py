"""LLaVA-OneVision: every frame stretched to one square, a quarter of its patches, and one newline for the video."""

from __future__ import annotations

import math
from typing import Any

import torch

from infinipot_v.verify.plain.shown import Shown, normalised

PROCESSOR_OPTIONS: dict[str, Any] = {}


def inputs(shown: Shown) -> dict[str, Any]:
    """See `plain.slow_inputs`."""
    numbers = shown.numbers(size={"height": 384, "width": 384}, resample=3)
    size = numbers["size"]["height"], numbers["size"]["width"]
    pixels = torch.from_numpy(normalised(shown.resized(size, numbers["resample"]), numbers))
    patches = int(math.sqrt(shown.files.json("processor_config.json")["num_image_tokens"]))
    pad = str(shown.tokenizer.convert_ids_to_tokens(shown.config.video_token_id))
    text = shown.rendered().replace(pad, pad * (len(pixels) * math.ceil(patches / 2) ** 2 + 1))
    return {"input_ids": shown.ids(text), "pixel_values_videos": pixels[None]}
