"""A checkpoint on this machine: will it run, what does it take, what is missing. From its small files and headers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from infinipot_v.budget import Budget
from infinipot_v.models.prompt import Prompt
from infinipot_v.policies import policy_class
from infinipot_v.policies.scores import widest_kernel
from infinipot_v.survey import parts
from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.survey.headers import Weights, look_at_weights
from infinipot_v.survey.machine import Device
from infinipot_v.survey.shapes import Shapes, shapes_of
from infinipot_v.survey.workspace import PROCESS, work_bytes
from infinipot_v.types import UserError

GIB = 2**30
DEFAULT = Budget(tokens=6144)
PREFIX = 32
"""Tokens assumed before the video where there is no tokenizer to count them."""


@dataclass(frozen=True)
class Examination:
    """What doctor says of a checkpoint; JSON-able with `dataclasses.asdict`. Bytes are bytes.

    `download_bytes` is what the weights take on disk, or would. `needed_bytes` is weights, cap, work space and the
    process together; `free_bytes` is None where nobody tells.
    `gib_*` is what a memory of 1 GiB holds, in minutes at one frame a second, or as many tokens as the model has
    positions for; `stream_minutes` is how long a stream may last before the model's positions are used up, or None
    where they are not. `problems` are lines that say what is missing or too large; without any, it runs.
    """

    checkpoint: str
    family: str
    config_sha256: str
    axes: int
    positions: str
    layers: dict[str, int]
    dtype: str
    device: str
    download_bytes: int
    downloaded: bool
    weights_bytes: int
    budget_tokens: int
    cap_bytes: int
    work_bytes: int
    process_bytes: int
    needed_bytes: int
    free_bytes: int | None
    step_tokens: int
    frames_per_step: int
    token_bytes: int
    gib_tokens: int
    gib_minutes: float
    stream_minutes: float | None
    options: dict[str, str]
    problems: tuple[str, ...]


def examine(files: CheckpointFiles, device: Device, budget: Budget | None = None, dtype: str = "auto") -> Examination:
    """Examine a checkpoint. Without a budget: 6,144 tokens, or as many as the model has positions for.

    Raises `UserError` for what is no checkpoint, is text-only, or is of an architecture that is not supported.
    """
    parts.check_config(files)
    weights = look_at_weights(files)
    prompt, problems = _prompt(files)
    shapes = shapes_of(files, prompt, parts.dtype_of(files, dtype, device.kind))
    prefix = len(prompt.prefix()) if prompt else PREFIX
    most = most_tokens(shapes, prefix + (budget or DEFAULT).room)
    limits = shapes.cost.solve(prefix, budget or replace(DEFAULT, tokens=min(most, DEFAULT.tokens or most)))
    tokens = limits.tokens or 0
    costs = _costs(shapes, weights, files, device, prefix, limits)
    problems += [*_lacking(weights, shapes, files), *_too_large(sum(costs.values()), device), *_too_many(tokens, most)]
    held = min(most, shapes.cost.solve(prefix, replace(limits, tokens=None, bytes=GIB)).tokens or 0)
    return Examination(
        checkpoint=files.title, family=shapes.family, config_sha256=files.config_hash, axes=shapes.axes,
        positions=shapes.model.default_positions, layers=shapes.layers,
        dtype=str(shapes.dtype).removeprefix("torch."), device=device.kind, download_bytes=weights.bytes,
        downloaded=weights.here, budget_tokens=tokens, **costs, needed_bytes=sum(costs.values()),
        free_bytes=device.free_bytes, step_tokens=shapes.step_tokens, frames_per_step=shapes.model.frames_per_step,
        token_bytes=shapes.cost.token_bytes, gib_tokens=held, gib_minutes=_minutes(shapes, held),
        stream_minutes=stream_minutes(shapes, prefix + limits.room), options=_options(shapes, tokens),
        problems=tuple(problems),
    )  # fmt: skip


def _costs(
    shapes: Shapes, weights: Weights, files: CheckpointFiles, device: Device, prefix: int, limits: Budget
) -> dict[str, int]:
    """Bytes of weights, cap, work space and process."""
    quantised = "quantization_config" in files.config
    return {
        "weights_bytes": weights.bytes if quantised else shapes.weight_bytes,
        "cap_bytes": shapes.cost.cap(prefix, limits),
        "work_bytes": work_bytes(shapes, prefix + (limits.tokens or 0) + limits.room),
        "process_bytes": PROCESS[device.kind.partition(":")[0]],
    }


def most_tokens(shapes: Shapes, others: int) -> int:
    """Tokens that a memory may hold beside `others`: with compact positions each needs one that the model knows."""
    limit = shapes.model.position_limit
    ranked = shapes.model.default_positions == "compact" and shapes.axes == 1
    return limit - others if ranked and limit else 2**62


def _minutes(shapes: Shapes, tokens: int) -> float:
    """Minutes of video at one frame a second that so many tokens hold, in whole steps."""
    return round(tokens // shapes.step_tokens * shapes.model.frames_per_step / 60, 2)


def stream_minutes(shapes: Shapes, taken: int) -> float | None:
    """Minutes at one frame a second until the model's positions are used up, `taken` of them by text."""
    rate, limit = shapes.positions_a_second(), shapes.model.position_limit
    return round((limit - taken) / rate / 60, 1) if rate and limit else None


def _prompt(files: CheckpointFiles) -> tuple[Prompt | None, list[str]]:
    try:
        prompt = parts.prompt_of(files)
        prompt.prefix()
    except UserError as error:
        return None, [str(error)]
    return prompt, []


def _lacking(weights: Weights, shapes: Shapes, files: CheckpointFiles) -> list[str]:
    """What the headers say against loading: files that are missing or torn, and numbers that are not there."""
    if weights.problem:
        return [weights.problem]
    embeddings = shapes.text_config.vocab_size * shapes.text_config.hidden_size
    found, wanted = weights.numbers, shapes.numbers
    if not found or "quantization_config" in files.config:
        return []
    if found < wanted:
        return [f"the weights hold {found:,} numbers, and config.json describes {wanted:,}: download it again"]
    if found > wanted + embeddings + wanted // 1000:
        return [f"the weights hold {found:,} numbers, config.json describes only {wanted:,}: it is of another model"]
    return []


def _too_large(needed: int, device: Device) -> list[str]:
    if device.free_bytes is None or needed <= device.free_bytes:
        return []
    return [
        f"{needed / 1e9:.1f} GB are needed and {device.free_bytes / 1e9:.1f} GB are free on {device.kind}: "
        "lower --budget, take a smaller or quantised checkpoint, or another --device"
    ]


def _too_many(tokens: int, most: int) -> list[str]:
    if tokens <= most:
        return []
    return [f"a budget of {tokens} tokens takes more positions than the model was trained for: at most {most} fit"]


def _options(shapes: Shapes, tokens: int) -> dict[str, str]:
    """Options of the policy `infinipot-v`, and what each can do with this model, resolution and budget."""
    policy = policy_class("infinipot-v")
    defaults: dict[str, Any] = {field.name: field.default for field in fields(policy)}
    grid, known = shapes.canvas.grid, shapes.axes == 3 and shapes.model.default_positions != "compact"
    recent, widest = int(defaults["recent"] * tokens / shapes.step_tokens), widest_kernel(grid)
    pooled = f"kernels up to {widest} on {grid.height} x {grid.width} cells"
    says = {
        "recent": f"{recent} steps are protected" if recent else "no effect: the budget is below eight steps",
        "pooling": pooled if widest > 1 else f"no effect: {grid.height} x {grid.width} cells are too few to pool",
        "tar_keys": "stored, or content" if known else "no effect: keys are stored without a rotation to undo",
    }
    return {name: says.get(name, f"applies (default {default})") for name, default in defaults.items()}
