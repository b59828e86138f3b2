"""A uniform random sample of all tokens ever seen: the baseline that any score must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.policies.base import KVView, Policy
from infinipot_v.policies.options import check_count
from infinipot_v.policies.scores import top_slots


@dataclass(frozen=True)
class Random(Policy):
    """Bottom-k sampling: a token's priority is a fixed hash of (seed, layer, head, step, cell); the highest stay.

    What was dropped had a lower priority than all that stayed, so the survivors of a hundred compactions are those
    of a single one over the whole stream: a uniform sample of all time, stateless and the same on every run.
    Repeated random thinning, the usual baseline, is weaker: it forgets the past exponentially.

    The text of one step shares one priority: it stays or goes together, the newest of it last, and a
    token's number within its text, which evictions would change, is never needed.
    """

    name: ClassVar[str] = "random"

    seed: int = 0

    def __post_init__(self) -> None:
        check_count("seed", self.seed)

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`, another sample in every head and layer."""
        return top_slots(self.priorities(view), keep)

    def priorities(self, view: KVView) -> Tensor:
        """The hash of each slot's token, int64 `[heads, slots]`."""
        device = view.keys.device
        heads = torch.arange(len(view.keys), device=device)[:, None]
        priority = mix(torch.tensor(self.seed, device=device))
        for part in (torch.tensor(view.layer, device=device), heads, view.steps.long(), view.cells.long()):
            priority = mix(priority + part)
        return priority


def mix(x: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014) on int64; products wrap around as in uint64."""
    x = x - 0x61C8864680B583EB  # 0x9E3779B97F4A7C15, the golden ratio, as a signed number
    x = (x ^ _shift(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shift(x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's own drags the sign along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
