"""Writes tests/golden/fixed_pixels.json: what Hugging Face's video processors of four families make of frames.

The processors read the checkpoints' own files, whose content lies in tests/golden/preprocessors.json. Frames are
`oracle.pixels.pattern` and, where the clips are there, the first frames of real clips. Run once, from the repository
root, where torchvision (0.27 or newer, for Lanczos) and transformers are installed:
    PYTHONPATH=.:src python tests/golden/make_fixed_pixels.py [FOLDER WITH CLIPS]
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
import transformers

from tests.oracle.pixels import pattern
from tests.videos import first_frame

HERE = Path(__file__).parent
CLASSES = {
    "llava_onevision": "LlavaOnevisionVideoProcessor",
    "llava_next_video": "LlavaNextVideoVideoProcessor",
    "internvl": "InternVLVideoProcessor",
    "smolvlm": "SmolVLMVideoProcessor",
}
PATTERNS = [(2, 100, 150), (1, 360, 640), (1, 480, 270), (1, 61, 333)]


def processor_of(family: str, folder: Path) -> Any:
    """The family's own class, loaded as users do from a folder with the checkpoint's file."""
    entry = json.loads((HERE / "preprocessors.json").read_text())[family]
    (folder / entry["file"]).write_text(json.dumps(entry["content"]))
    module = importlib.import_module(f"transformers.models.{family}.video_processing_{family}")
    return getattr(module, CLASSES[family]).from_pretrained(folder)


def golden(processor: Any, frames: np.ndarray) -> dict[str, object]:
    """A probe of the pixels: their shape, their sum and every 9973rd number."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    made = processor(videos=[video], do_sample_frames=False, return_tensors="pt")
    pixels = (made["pixel_values_videos"] if "pixel_values_videos" in made else made["pixel_values"])[0]
    probes = pixels.flatten()[::9973].tolist()
    return {"shape": list(pixels.shape), "sum": pixels.double().sum().item(), "every_9973rd": probes}


def cases(family: str, clips: Path | None) -> list[dict[str, object]]:
    """All frames through one processor; a clip's case names its frame's checksum, as decoders may differ."""
    with tempfile.TemporaryDirectory() as folder:
        processor = processor_of(family, Path(folder))
    made = [{"pattern": case, **golden(processor, pattern(*case))} for case in PATTERNS]
    for path in sorted(clips.glob("*.mp4")) if clips else []:
        frame = first_frame(path)[None]
        made.append({"clip": path.name, "crc32": zlib.crc32(frame.tobytes()), **golden(processor, frame)})
    return made


if __name__ == "__main__":
    clips = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    versions = {module.__name__: module.__version__ for module in (torch, torchvision, transformers)}
    lines = [f' "command": "PYTHONPATH=.:src python tests/golden/{Path(__file__).name} [FOLDER WITH CLIPS]"']
    lines.append(f' "versions": {json.dumps(versions)}')
    for family in CLASSES:
        rows = ",\n  ".join(json.dumps(case) for case in cases(family, clips))
        lines.append(f' "{family}": [\n  {rows}\n ]')
    (HERE / "fixed_pixels.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
