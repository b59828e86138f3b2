"""InternVL: every frame stretched to one square, a number before each, and pictures handed over as images."""

from __future__ import annotations

from typing import Any

import torch

from infinipot_v.verify.plain.shown import Shown, normalised

PROCESSOR_OPTIONS: dict[str, Any] = {}


def inputs(shown: Shown) -> dict[str, Any]:
    """See `plain.slow_inputs`."""
    numbers = shown.numbers(size={"height": 384, "width": 384}, resample=3)
    size = numbers["size"]["height"], numbers["size"]["width"]
    pixels = torch.from_numpy(normalised(shown.resized(size, numbers["resample"]), numbers))
    begin, end = shown.token("start_image_token", "<img>"), shown.token("end_image_token", "</img>")
    picture = shown.token("context_image_token", "<IMG_CONTEXT>")
    length = int(shown.files.json("processor_config.json").get("image_seq_length", 256))
    frames = [f"Frame{index + 1}: {begin}{picture * length}{end}" for index in range(len(pixels))]
    text = shown.rendered().replace(shown.token("video_token", "<video>"), "\n".join(frames))
    return {"input_ids": shown.ids(text), "pixel_values": pixels}
