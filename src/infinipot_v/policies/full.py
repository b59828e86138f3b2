"""The full cache: nothing is ever dropped, memory grows. The control that runs through the same code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from infinipot_v.policies.base import KVView, Policy, all_slots
from infinipot_v.types import UserError


@dataclass(frozen=True)
class Full(Policy):
    """Keeps every slot; `select` raises `UserError` when asked to drop one."""

    name: ClassVar[str] = "full"
    bounded: ClassVar[bool] = False

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return all slots, int64 `[heads, slots]`."""
        if keep < view.slots:
            raise UserError(
                f"the full cache drops nothing, yet {view.slots} slots must become {keep}: "
                "raise the budget or choose a policy that compresses, such as infinipot-v"
            )
        return all_slots(view)
