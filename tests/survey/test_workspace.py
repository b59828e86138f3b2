"""The estimate of the work space, against tensors that are alive while a session watches and answers."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import Budget, Decoding, Session, load_model
from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.survey.parts import prompt_of
from infinipot_v.survey.shapes import shapes_of
from infinipot_v.survey.workspace import work_bytes
from infinipot_v.testing import write_checkpoint
from infinipot_v.verify.scene import scene_frames
from tests.core.test_cap import LiveBytes

WIDE = {"hidden_size": 256, "intermediate_size": 2048, "num_attention_heads": 8}
SHAPES = {
    "qwen2_vl": {
        "hidden_size": 256, "intermediate_size": 4096, "num_attention_heads": 16,
        "vision_config": {"embed_dim": 512, "hidden_size": 256, "mlp_ratio": 4, "num_heads": 8},
    },
    "llava_onevision": {
        "text_config": {"hidden_size": 256, "intermediate_size": 4096, "num_attention_heads": 16},
        "vision_config": {**WIDE, "image_size": 196},
    },
}  # fmt: skip
"""Wide enough that activations are more than the 4 MiB that a compaction may take."""


@pytest.mark.parametrize("family", SHAPES)
def test_the_estimate_holds_and_is_no_multiple_of_the_truth(checkpoint, family, tmp_path):
    folder = write_checkpoint(family, tmp_path / family, **SHAPES[family])
    if family == "llava_onevision":
        for file in ("preprocessor_config.json", "video_preprocessor_config.json"):
            text = (
                (folder / file)
                .read_text()
                .replace('"height": 42', '"height": 196')
                .replace('"width": 42', '"width": 196')
            )
            (folder / file).write_text(text)
    model = load_model(folder, device="cpu")
    files = CheckpointFiles.of(folder)
    shapes = shapes_of(files, prompt_of(files), torch.float32)
    session = Session(model, Budget(tokens=4 * shapes.step_tokens), decoding=Decoding(max_new_tokens=2))
    frames = scene_frames(16 * model.frames_per_step, 720, 1280)
    half = len(frames) // 2
    session.watch(iter(frames[:half]))
    with LiveBytes() as alive:
        session.watch(iter(frames[half:]))
        session.ask("What?")
    estimate = work_bytes(shapes, session.cache.stream_slots + 512 + session.cache.prefix_tokens)
    assert session.report().compressions > 2
    assert alive.peak <= estimate <= 4 * alive.peak, (alive.peak / 2**20, estimate / 2**20)
