"""Writes tests/golden/pixels.json: what Hugging Face's torchvision video processor makes of `oracle.pixels.pattern`.

Run once, from the repository root, where torchvision and transformers are installed:
    PYTHONPATH=. python tests/golden/make_pixels.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torchvision
import transformers
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

from tests.oracle.pixels import pattern

CASES = [(2, 100, 150), (4, 360, 640), (2, 480, 270), (2, 61, 333), (6, 84, 84)]
SIZE = {"shortest_edge": 56 * 56, "longest_edge": 128 * 28 * 28}


def golden(frames: int, height: int, width: int) -> dict[str, object]:
    """A probe of the patches: their shape, their sum and every 9973rd number."""
    video = torch.from_numpy(pattern(frames, height, width)).permute(0, 3, 1, 2)
    made = Qwen2VLVideoProcessor(size=SIZE)(videos=[video], do_sample_frames=False, return_tensors="pt")
    patches = made["pixel_values_videos"]
    return {
        "pattern": [frames, height, width],
        "grid": made["video_grid_thw"][0].tolist(),
        "sum": patches.double().sum().item(),
        "every_9973rd": patches.flatten()[::9973].tolist(),
    }


if __name__ == "__main__":
    versions = {module.__name__: module.__version__ for module in (torch, torchvision, transformers)}
    content = {"command": "PYTHONPATH=. python tests/golden/make_pixels.py", "versions": versions, "size": SIZE}
    content["cases"] = [golden(*case) for case in CASES]
    Path(__file__).with_name("pixels.json").write_text(json.dumps(content, indent=1) + "\n")
