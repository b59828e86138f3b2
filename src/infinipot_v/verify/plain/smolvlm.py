"""SmolVLM: frames resized twice, the time before each, and words before the first that tell how many there are.

A stream cannot know how many frames it will have, so its prompt leaves that out; `opening` puts transformers' own words
back, for the runs that are compared with a whole video.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch

from infinipot_v.verify.plain.shown import Shown, normalised

PROCESSOR_OPTIONS: dict[str, Any] = {}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def opening(count: int, fps: float) -> str:
    """What transformers writes before the first of `count` frames (up to twelve)."""
    length = timedelta(seconds=int(count / fps))
    return (
        f"You are provided the following series of {NUMBERS[count]} frames from a {length} [H:MM:SS] video.\n"
    )  # fmt: skip


def inputs(shown: Shown) -> dict[str, Any]:
    """See `plain.slow_inputs`."""
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    numbers = shown.numbers(
        size={"longest_edge": 4 * 364}, max_image_size={"longest_edge": 364}, resample=1,
        image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5),
    )  # fmt: skip
    pixels = torch.from_numpy(normalised(_twice_resized(shown, numbers), numbers))
    around, whole = shown.token("fake_image_token", "<fake_token_around_image>"), "<global-img>"
    length = int(shown.files.json("processor_config.json").get("image_seq_len", 169))
    picture = f"{around}{shown.token('global_image_token', whole)}{'<image>' * length}{around}"
    moments = [index / shown.fps for index in range(len(pixels))]
    frames = "".join(f"\nFrame from {int(at // 60):02d}:{int(at % 60):02d}:{picture}" for at in moments)
    text = shown.rendered(DEFAULT_CHAT_TEMPLATE)
    text = text.replace("<video>", f"{opening(len(pixels), shown.fps)}{frames}\n\n")
    return {"input_ids": shown.ids(text), "pixel_values": pixels[None]}


def _twice_resized(shown: Shown, numbers: dict[str, Any]) -> Any:
    from dataclasses import replace

    height, width = shown.pictures.shape[1:3]
    longest, square = min(4096, numbers["size"]["longest_edge"]), numbers["max_image_size"]["longest_edge"]
    short = int(longest / (max(height, width) / min(height, width)))
    short = max(1, short + short % 2)
    first = shown.resized((short, longest) if width >= height else (longest, short), numbers["resample"])
    return replace(shown, pictures=first).resized((square, square), numbers["resample"])
