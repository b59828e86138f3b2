"""How much memory a run needs beside weights and cap: an estimate from shapes, so that doctor can say what fits.

    work = 1.25 x max(language, vision) + logits + compaction

`language` is one block of steps in one layer: states, the wider of MLP and attention, and the keys and values of all
slots once more for every query head, because masked attention over grouped heads repeats them. `vision` is one block
of frames in one layer of the tower, and its pixels. It is an estimate: at the widths of public checkpoints, tensors
alive while a session watched took 55 to 85 % of it (four families, bfloat16, on a CPU). What an attention kernel takes
inside itself is not seen there, and nothing was measured on a GPU.
"""

from __future__ import annotations

from typing import Any

from infinipot_v.survey.shapes import Shapes

BLOCK = 4
"""Steps run together, the default of `Session`."""
MARGIN = 1.25
PROCESS = {"cpu": 700 * 2**20, "cuda": 600 * 2**20, "mps": 600 * 2**20}
"""Bytes that the interpreter with torch and transformers takes on a CPU, and a context on a GPU."""


def work_bytes(shapes: Shapes, slots: int) -> int:
    """Bytes of activations at most, with `slots` slots a layer."""
    tokens = BLOCK * shapes.step_tokens
    item = shapes.dtype.itemsize
    largest = max(_language(shapes.text_config, tokens, slots) * item, _vision(shapes) * item)
    return int(MARGIN * largest + _logits(shapes) + _compaction(shapes, slots))


def _language(config: Any, tokens: int, slots: int) -> int:
    """Numbers alive at once in one layer of the language model."""
    heads, hidden = config.num_attention_heads, config.hidden_size
    key_value_heads = getattr(config, "num_key_value_heads", None) or heads
    dim = getattr(config, "head_dim", None) or hidden // heads
    states = 4 * tokens * hidden
    mlp = 3 * tokens * config.intermediate_size
    repeated = 2 * heads * dim * slots if key_value_heads != heads else 0
    attention = 2 * tokens * dim * (heads + key_value_heads) + repeated + tokens * slots
    return int(states + max(mlp, attention))


def _vision(shapes: Shapes) -> int:
    """Numbers alive at once in one layer of the vision tower, pixels included."""
    config, frames = shapes.model.hf.config.vision_config, BLOCK * shapes.model.frames_per_step
    height, width = shapes.canvas.pixels
    patch = _side(config.patch_size)
    patches = frames // _merged(config) * (height // patch) * (width // patch)
    hidden = getattr(config, "embed_dim", None) or config.hidden_size
    inner = getattr(config, "intermediate_size", None) or int(hidden * getattr(config, "mlp_ratio", 4))
    pixels = 3 * frames * height * width * 3
    return int(pixels + patches * (8 * hidden + 2 * inner))


def _merged(config: Any) -> int:
    """Frames that share their patches."""
    return int(getattr(config, "temporal_patch_size", 1) or 1)


def _side(size: Any) -> int:
    return int(size if isinstance(size, int) else size[0])


def _logits(shapes: Shapes) -> int:
    return int(shapes.text_config.vocab_size * (4 + shapes.dtype.itemsize))


def _compaction(shapes: Shapes, slots: int) -> int:
    """Scores and indices: below 15 % of one layer, or 4 MiB if that is more (docs/memory.md)."""
    layer = next(iter(shapes.plan.shapes.values())).token_bytes * slots
    return max(4 * 2**20, int(0.15 * layer))
