"""What is supported: every family of the registry, with figures of one public checkpoint, and what is refused and why.

The figures follow from `public/<family>/`: config.json and preprocessor_config.json with the shape numbers that the
named checkpoint has on the hub, copied by hand and nothing else. A family without such a folder is shown with
transformers' default configuration of its `model_type`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infinipot_v.models import family_names
from infinipot_v.survey import parts
from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.survey.shapes import Shapes, shapes_of

PUBLIC = Path(__file__).parent / "public"
DEFAULTS = "transformers' default configuration"


@dataclass(frozen=True)
class Entry:
    """One family; JSON-able with `dataclasses.asdict`. Tokens a step are the default's, for frames of 720p.

    `tokens_per_step` is None where only transformers' defaults are known. `text_between_frames`: further tokens of
    text belong to a step. `stream_minutes`: until positions are used up, at one frame a second; None: never.
    `token_bytes` are keys and values of one token in all capped layers, in `dtype`.
    """

    family: str
    checkpoint: str
    axes: int
    positions: str
    layers: dict[str, int]
    dtype: str
    tokens_per_step: int | None
    text_between_frames: bool
    frames_per_step: int
    token_bytes: int
    stream_minutes: float | None
    status: str


@dataclass(frozen=True)
class Refusal:
    """A kind of model that is refused, and the reason."""

    kind: str
    reason: str


REFUSED = (
    Refusal(
        "indexed sparse attention",
        "such a layer keeps an index of its keys, and picks by it what a query sees: keys that leave would leave the "
        "index wrong",
    ),
    Refusal(
        "layers that are linear and attention at once",
        "one state holds both, and half of it cannot be compacted",
    ),
    Refusal(
        "1-D RoPE beside sliding windows, with compact positions",
        "a window's keys stay rotated to old positions; with positions='original' it runs",
    ),
    Refusal("text-only checkpoints", "watching needs a vision tower"),
    Refusal("weights in pickles", "opening one can run code; convert it to safetensors where you trust it"),
)  # fmt: skip


def entries(status: Callable[[str], str]) -> list[Entry]:
    """All families, in the registry's order; `status` says of each what has been verified.

    Imports their modelling files, which takes seconds.
    """
    return [entry(family, status(family)) for family in family_names()]


def entry(family: str, status: str) -> Entry:
    """One family."""
    folder = PUBLIC / family
    if not (folder / "config.json").is_file():
        return by_defaults(family, status)
    files = CheckpointFiles.of(folder)
    shapes = shapes_of(files, None, parts.dtype_of(files, "auto", "cuda"))
    return Entry(
        family, str(files.config.get("_name_or_path")), shapes.axes, shapes.model.default_positions, shapes.layers,
        str(shapes.dtype).removeprefix("torch."), shapes.step_tokens, shapes.text_between_frames,
        shapes.model.frames_per_step, shapes.cost.token_bytes, _minutes(shapes), status,
    )  # fmt: skip


def _minutes(shapes: Shapes) -> float | None:
    rate, limit = shapes.positions_a_second(), shapes.model.position_limit
    return round(limit / rate / 60, 1) if rate and limit else None


def by_defaults(family: str, status: str) -> Entry:
    """What transformers' own default configuration tells, in bfloat16: the language model's shapes, no resolution."""
    from transformers import AutoConfig

    text = AutoConfig.for_model(family).get_text_config(decoder=True)
    kinds = list(getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    axes = 3 if "mrope_section" in (getattr(text, "rope_parameters", None) or {}) else 1
    return Entry(
        family, DEFAULTS, axes, "compact" if axes == 1 else "original", {kind: kinds.count(kind) for kind in kinds},
        "bfloat16", None, False, 1, 2 * kinds.count("full_attention") * heads * dim * 2, None, status,
    )  # fmt: skip
