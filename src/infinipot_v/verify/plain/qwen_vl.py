"""Qwen2-VL and Qwen2.5-VL: two frames a step, patches cut one by one, one placeholder a token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from infinipot_v.verify.plain.shown import Shown, normalised

PROCESSOR_OPTIONS = {"do_resize": False}
"""Their processors choose a resolution by a rule of their own; ours is the session's, so pictures come resized."""

DEFAULTS = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711),
    "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "resample": 3,
}  # fmt: skip


def inputs(shown: Shown) -> dict[str, Any]:
    """See `plain.slow_inputs`."""
    numbers = shown.numbers(**DEFAULTS)
    patch, merge, pair = (int(numbers[name]) for name in ("patch_size", "merge_size", "temporal_patch_size"))
    pictures = normalised(shown.resized(shown.size, numbers["resample"]), numbers)
    pictures = np.concatenate([pictures, *[pictures[-1:]] * (-len(pictures) % pair)])
    grid = (len(pictures) // pair, shown.size[0] // patch, shown.size[1] // patch)
    pad = str(shown.tokenizer.convert_ids_to_tokens(shown.config.video_token_id))
    ids = shown.ids(shown.rendered().replace(pad, pad * (grid[0] * grid[1] * grid[2] // merge**2)))
    made = {
        "input_ids": ids,
        "mm_token_type_ids": (ids == shown.config.video_token_id).int() * 2,
        "pixel_values_videos": torch.from_numpy(_patches(pictures, patch, merge, pair)),
        "video_grid_thw": torch.tensor([grid]),
    }
    if getattr(shown.config.vision_config, "tokens_per_second", None) is not None:
        made["second_per_grid_ts"] = torch.tensor([pair / shown.fps])
    return made


def _patches(pictures: np.ndarray, patch: int, merge: int, pair: int) -> np.ndarray:
    """`[frames, 3, height, width]` to `[patches, 3 * pair * patch * patch]`: tokens row by row, patches inside them."""
    side, found = patch * merge, []
    for first in range(0, len(pictures), pair):
        for top in range(0, pictures.shape[2], side):
            for left in range(0, pictures.shape[3], side):
                for row in range(top, top + side, patch):
                    for column in range(left, left + side, patch):
                        tube = pictures[first : first + pair, :, row : row + patch, column : column + patch]
                        found.append(tube.swapaxes(0, 1).ravel())  # colour before time
    return np.stack(found)
