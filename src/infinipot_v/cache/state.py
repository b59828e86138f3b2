"""What a cache counts, what it goes back to, and what a copy of it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infinipot_v.cache.slots import StoreState
from infinipot_v.types import Grid


@dataclass(frozen=True)
class Counters:
    """What a cache has done. `fresh_steps` counts whole steps since the last compaction.

    `ranks` is the largest number of different steps that one head holds, for compact positions on M-RoPE.
    """

    steps: int = 0
    seen_tokens: int = 0
    fresh_steps: int = 0
    compressions: int = 0
    newest_step: int = -1
    ranks: int = 0


@dataclass(frozen=True)
class Rest:
    """What a cache goes back to: the filled slots of prefix and stream, and a copy of the other layers' state."""

    prefix: int
    held: int
    others: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class CacheState:
    """An in-memory copy of a cache at rest: every layer's state, the counters and the grid."""

    stores: tuple[StoreState, ...]
    others: tuple[dict[str, Any], ...]
    counters: Counters
    grid: Grid | None
