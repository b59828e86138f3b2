"""The tokens whose keys are shortest (Devoto, Zhao, Scardapane, Minervini; arXiv 2406.11430).

Re-implemented, not checked against its authors. Their finding is that a key with a low L2 norm tends to draw much
attention, whatever the query is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from infinipot_v.policies.base import KVView, Policy
from infinipot_v.policies.scores import top_slots, van_scores


@dataclass(frozen=True)
class KeyNorm(Policy):
    """Keeps the slots with the lowest ||K||_2 in each head: s(t) = -||K[t]||_2.

    A rotation changes no norm, so it does not matter that keys lie rotated; text counts as any other token, as there.

    Departures: they compress a finished prompt once, here it is done whenever the cap is reached; they may leave some
    layers whole (the first two), under a cap every layer holds the same.
    """

    name: ClassVar[str] = "key-norm"
    by_head: ClassVar[bool] = True

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`; the newer ones among equals."""
        return top_slots(self.on_step(view) if view.scores is None else view.scores, keep)

    def on_step(self, view: KVView) -> Tensor:
        """Minus the norm of each key, float32 `[heads, slots]`: it never changes."""
        return -van_scores(view.keys)  # the norm that VaN takes of values
