"""Who takes part: a policy under a budget of its own, or the control that keeps no memory at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from infinipot_v.budget import Budget
from infinipot_v.evaluate.base import Item, Manner
from infinipot_v.evaluate.watchers import CONTROLS, Remembering, Watcher
from infinipot_v.models.base import Model
from infinipot_v.moment import POSITIONS
from infinipot_v.nearest import did_you_mean
from infinipot_v.policies import make_policy, policy_names
from infinipot_v.policies.base import Policy
from infinipot_v.policies.options import option_pair
from infinipot_v.reduction import make_reduction
from infinipot_v.retrieval.watching import Retrieval
from infinipot_v.ring import Ring
from infinipot_v.session import Session
from infinipot_v.types import UserError

REKV = "rekv"
STREAMING = "streaming-llm"
"""What the field calls a setting of `sliding-window`. (Its `last-frames` is another thing than our control.)"""


@dataclass(frozen=True)
class Contender:
    """A policy and what it may hold, or one of the `CONTROLS` without a memory.

    It may hold a share of the full cache's tokens, `fraction`, or `budget`: tokens ("6144") or bytes ("512MiB").

    `policy` may carry options: `infinipot-v+alpha=0.3+keep=0.5+positions=compact+reduce=longvu:window=4+ring=4`; `keep`
    is the budget's, `positions`, `reduce` and `ring` are the session's, the others the policy's. The room grows by the
    slots of a ring. `rekv` has no cap: the share, or the tokens, is of what it has at hand for an answer, and it holds
    everything. Raises `UserError` for unknown names, unknown options and a budget out of range.
    """

    policy: str
    fraction: Fraction = Fraction(1)
    budget: str = ""

    def __post_init__(self) -> None:
        if self.budget:
            Budget.parse(self.budget)
        if not 0 < self.fraction <= 1:
            raise UserError(f"a budget of {self.fraction} of the full cache is out of range: write 1/16, or 0.5")
        if self.policy not in CONTROLS and self.retrieval is None:
            self._parsed()

    @property
    def retrieval(self) -> Retrieval | None:
        """How `rekv` takes part; None for all others."""
        name, *options = self.policy.split("+")
        return Retrieval.parse(options) if name == REKV else None

    @property
    def limit(self) -> float | str:
        """What it may hold, as records and tables know it: the budget as it was written, or the share."""
        return self.budget or float(self.fraction)

    @property
    def grows(self) -> bool:
        """Whether what it may hold grows with the stream: nobody has said that it fits."""
        return not self.budget and self.policy not in CONTROLS

    @property
    def shares(self) -> bool:
        """Whether a share can be chosen for it; the full cache has all, the controls have frames."""
        return self.policy.partition("+")[0] != "full" and self.policy not in CONTROLS

    def watcher(self, model: Model, item: Item, manner: Manner) -> Watcher:
        """Open a fresh memory for one stream: |M| is the budget, or the share of its full cache; at least one step."""
        if self.policy in CONTROLS:
            return CONTROLS[self.policy](model, item, manner)
        if self.retrieval is not None:
            tokens = self._budget(item, 1.0, manner.room).tokens
            if tokens is None:
                raise UserError("rekv has no cap in bytes: give its working set in tokens, as in 6144")
            return self.retrieval.watcher(
                model,
                tokens,
                item.step_tokens,
                manner.tokens_per_step,
                manner.room,
                manner.text_tokens,
                manner.decoding,
            )
        policy, keep, options = self._parsed()
        budget = self._budget(item, keep, manner.room + options["ring"] * item.step_tokens)
        return Remembering(
            Session(
                model, budget, policy, tokens_per_step=manner.tokens_per_step, max_pixels=manner.max_pixels,
                system=manner.system, decoding=manner.decoding, text_tokens=manner.text_tokens, **options,
            )
        )  # fmt: skip

    def _budget(self, item: Item, keep: float, room: int) -> Budget:
        """The full cache, whose share is all, takes what the item takes."""
        if self.budget and self.shares:
            return Budget.parse(self.budget, keep=keep, room=room)
        return Budget(tokens=max(item.step_tokens, int(self.fraction * item.tokens)), keep=keep, room=room)

    def _parsed(self) -> tuple[Policy, float, dict[str, Any]]:
        name, *options = self.policy.split("+")
        if name not in (*policy_names(), STREAMING):
            known = [*policy_names(), STREAMING, *CONTROLS, REKV]
            raise UserError(f"unknown policy {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}")
        pairs = dict(option_pair(option) for option in options)
        keep = float(pairs.pop("keep", Budget.keep))
        positions = pairs.pop("positions", None)
        if positions is not None and positions not in POSITIONS:
            raise UserError(f"unknown positions {positions!r}: choose {', '.join(POSITIONS)}")
        reduce, ring = make_reduction(pairs.pop("reduce", None)), Ring(pairs.pop("ring", 0)).size
        return make_policy(name, **pairs), keep, {"positions": positions, "reduce": reduce, "ring": ring}


def contenders(
    policies: Sequence[str], fractions: Sequence[Fraction] = (), budgets: Sequence[str] = ()
) -> list[Contender]:
    """Every policy at every share and every budget; those without one to choose take part once."""
    alone = [contender for name in policies if not (contender := Contender(name)).shares]
    some = [name for name in policies if Contender(name).shares]
    shared = [Contender(name, f) for f in fractions for name in some]
    return alone + shared + [Contender(name, budget=budget) for budget in budgets for name in some]
