"""What to say when no model is named: three checkpoints that fit this machine."""

from __future__ import annotations

from dataclasses import dataclass

from infinipot_v.types import UserError


@dataclass(frozen=True)
class Suggestion:
    """A public checkpoint: hub id, and the bytes of its bfloat16 weights, which is also the download."""

    name: str
    gigabytes: float


SUGGESTIONS = (
    Suggestion("Qwen/Qwen2-VL-2B-Instruct", 4.4),
    Suggestion("Qwen/Qwen2.5-VL-3B-Instruct", 7.5),
    Suggestion("Qwen/Qwen2.5-VL-7B-Instruct", 16.6),
    Suggestion("Qwen/Qwen2-VL-7B-Instruct", 16.6),
)
WORK_SPACE = 1.3
"""Memory needed over the weights', for activations and the KV cache of a default budget."""

UNKNOWN_MEMORY = 16e9
"""Bytes to suggest for where the system does not tell what it has."""


def no_model() -> UserError:
    """The error for a missing --model, naming checkpoints; it does not guess one."""
    from infinipot_v.survey.machine import memory_total

    memory = (memory_total() or UNKNOWN_MEMORY) / 1e9
    fitting = [s for s in SUGGESTIONS if s.gigabytes * WORK_SPACE <= memory] or [SUGGESTIONS[0]]
    lines = ", ".join(
        f"{s.name} ({s.gigabytes:.1f} GB to download, about {s.gigabytes * WORK_SPACE:.0f} GB of memory)"
        for s in fitting[-3:]
    )
    return UserError(
        f"no model was named: give --model FOLDER or a hub id. These fit the {memory:.0f} GB here: {lines}. "
        "To try the command without a download: --model pocket, which knows only the demo's world"
    )
