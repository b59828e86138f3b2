"""The newest tokens and a few of the first ("attention sinks"; StreamingLLM, arXiv 2309.17453)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.policies.base import KVView, Policy
from infinipot_v.policies.options import check_count


@dataclass(frozen=True)
class SlidingWindow(Policy):
    """Keeps the first `sinks` tokens of the stream and the newest of the rest.

    The sinks are the oldest slots of every view, so they stay the first of the stream compaction after compaction.
    Departure: StreamingLLM re-assigns positions within the cache; here positions are the clock's business.
    """

    name: ClassVar[str] = "sliding-window"

    sinks: int = 4

    def __post_init__(self) -> None:
        check_count("sinks", self.sinks)

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return the same slots for every head, int64 `[heads, keep]`; more sinks than `keep` leave only the oldest."""
        slots = torch.arange(keep, device=view.keys.device)
        slots[self.sinks :] += view.slots - keep
        return slots.expand(len(view.keys), keep)
