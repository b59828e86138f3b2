"""The newest tokens and a few of the first: StreamingLLM (Xiao, Tian, Chen, Han, Lewis; arXiv 2309.17453).

Re-implemented, not checked against its authors. `make_policy` knows it as `streaming-llm`, too, and, without sinks, as
`last-frames`: the whole newest steps, and in the slots that hold no whole one the newest tokens of the step before.
"""

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

    Departures: the first tokens that the model ever saw, which the paper means by "attention sinks", are the prefix
    here (the system prompt), and that is never dropped; the `sinks` come on top. Many tokens go at once where the
    paper drops one at a time. It re-assigns positions within the cache; here that is `positions="compact"`.
    """

    name: ClassVar[str] = "sliding-window"
    by_head: ClassVar[bool] = True

    sinks: int = 4

    def __post_init__(self) -> None:
        check_count("sinks", self.sinks)

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return the same slots for every head, int64 `[heads, keep]`; more sinks than `keep` leave only the oldest."""
        slots = torch.arange(keep, device=view.keys.device)
        slots[self.sinks :] += view.slots - keep
        return slots.expand(len(view.keys), keep)
