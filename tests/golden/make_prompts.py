"""Writes tests/golden/prompts.json: the whole prompts that Hugging Face's processors make of a video and a question.

The processors are loaded from tiny checkpoints, as users load them from real ones. Run once, from the repository root,
where torchvision, num2words (SmolVLM's processor asks for it) and transformers are installed:
    PYTHONPATH=.:src python tests/golden/make_prompts.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import torchvision
import transformers
from transformers.video_utils import VideoMetadata

from infinipot_v.testing import write_checkpoint
from tests.golden.make_fixed_pixels import CLASSES

QUESTION = "What is  on the table?"
FRAMES, FPS = 12, 0.1
"""Twelve frames, ten seconds apart: frame numbers of two digits, and more than a minute."""


def processor_of(family: str, folder: Path) -> Any:
    """By AutoProcessor, which is told the class of the frames' processor: from the name LlavaNextImageProcessor
    transformers 5.23 concludes LlavaNextVideoProcessor, which is the whole, and calls itself without end."""
    own = folder / "video_preprocessor_config.json"
    if not own.exists():
        content = json.loads((folder / "preprocessor_config.json").read_text())
        own.write_text(json.dumps(content | {"video_processor_type": CLASSES[family]}))
    return transformers.AutoProcessor.from_pretrained(folder)


def golden(family: str, folder: str) -> dict[str, object]:
    """The template's output, the prompt's token ids and their text."""
    processor = processor_of(family, write_checkpoint(family, folder))
    content = [{"type": "video"}, {"type": "text", "text": QUESTION}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    metadata = VideoMetadata(
        total_num_frames=FRAMES,
        fps=FPS,
        duration=FRAMES / FPS,
        frames_indices=list(range(FRAMES)),
        height=90,
        width=140,
    )
    video = torch.zeros(FRAMES, 3, 90, 140, dtype=torch.uint8)
    made = processor(
        text=[text], videos=[video], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt"
    )
    ids = made["input_ids"][0].tolist()
    return {"rendered": text, "ids": ids, "text": processor.tokenizer.decode(ids)}


if __name__ == "__main__":
    versions = {module.__name__: module.__version__ for module in (torch, torchvision, transformers)}
    content: dict[str, object] = {"command": f"PYTHONPATH=.:src python tests/golden/{Path(__file__).name}"}
    content |= {"versions": versions, "question": QUESTION, "frames": FRAMES, "fps": FPS}
    for family in CLASSES:
        with tempfile.TemporaryDirectory() as folder:
            content[family] = golden(family, folder)
    rows = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    Path(__file__).with_name("prompts.json").write_text("{\n" + rows + "\n}\n")
