"""Who takes part: a policy at a share of the full cache, or the control that keeps no memory at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from infinipot_v.budget import Budget
from infinipot_v.evaluate.base import Item
from infinipot_v.generate import Decoding
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
from infinipot_v.types import Frame, UserError

LAST_FRAMES = "last-frames"
FRAMES = 4
BLIND = "blind"
REKV = "rekv"
DECODING = Decoding(max_new_tokens=8)


class Watcher(Protocol):
    """Watches one stream and answers questions about it, each on its own."""

    def watch(self, frames: Sequence[Frame]) -> None: ...
    def ask(self, question: str) -> str: ...
    @property
    def held_tokens(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


class Remembering:
    """A session: what it held when it was asked is all it has."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def watch(self, frames: Sequence[Frame]) -> None:
        """Watch on."""
        self.session.watch(frames)

    def ask(self, question: str) -> str:
        """Answer, and forget the question."""
        return self.session.ask(question, remember=False).text

    @property
    def held_tokens(self) -> int:
        """Stream slots filled a layer and head."""
        return self.session.cache.held_tokens

    @property
    def nbytes(self) -> int:
        """Bytes of the memory."""
        return self.session.report().nbytes


class LastFrames:
    """The control without a memory: the last `FRAMES` frames, prefilled into an empty cache at each question.

    Keeping the newest slots of a running cache would not be it: their keys and values have attended to what was
    evicted, and so remember it. Source of the idea: arXiv 2604.02317.
    """

    def __init__(self, model: Model, item: Item, tokens_per_step: int | None, room: int) -> None:
        self._model, self._resolution, self._room = model, tokens_per_step, room
        self._step_tokens = item.step_tokens
        self._frames: deque[Frame] = deque(maxlen=FRAMES)
        self._session: Session | None = None

    def watch(self, frames: Sequence[Frame]) -> None:
        """Remember pixels only, and of the last frames only."""
        self._frames.extend(frames)
        self._session = None

    def ask(self, question: str) -> str:
        """Prefill what is in the window, answer, and throw the cache away when the window moves."""
        if self._session is None:
            steps = -(-len(self._frames) // self._model.frames_per_step)
            budget = Budget(tokens=self._step_tokens * steps, room=self._room)
            self._session = Session(self._model, budget, "full", tokens_per_step=self._resolution, decoding=DECODING)
            self._session.watch(list(self._frames))
        return self._session.ask(question, remember=False).text

    @property
    def held_tokens(self) -> int:
        """Tokens prefilled for the newest question."""
        return self._session.cache.held_tokens if self._session else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the throw-away cache."""
        return self._session.cache.nbytes if self._session else 0


class Blind(LastFrames):
    """The control that sees nothing: one grey step instead of the stream. What it gets right can be guessed."""

    def watch(self, frames: Sequence[Frame]) -> None:
        """Look away."""
        grey = [Frame(np.full_like(frames[0].pixels, 128), float(second)) for second in range(2)]
        self._frames.clear()
        super().watch(grey)


STREAMING = "streaming-llm"
"""What the field calls a setting of `sliding-window`. (Its `last-frames` is another thing than our control.)"""
CONTROLS: dict[str, type[LastFrames]] = {LAST_FRAMES: LastFrames, BLIND: Blind}
"""What takes part without keeping a memory, under the name that it has in the place of a policy's."""


@dataclass(frozen=True)
class Contender:
    """A policy and the share of the full cache's tokens that it may hold, or one of the `CONTROLS` without a memory.

    `policy` may carry options: `infinipot-v+alpha=0.3+keep=0.5+positions=compact+reduce=longvu:window=4+ring=4`; `keep`
    is the budget's, `positions`, `reduce` and `ring` are the session's, the others the policy's. The room grows by the
    slots of a ring. `rekv` has no cap: the share is of what it has at
    hand for an answer, and it holds everything.
    Raises `UserError` for unknown names, unknown options and a share out of range.
    """

    policy: str
    fraction: Fraction = Fraction(1)

    def __post_init__(self) -> None:
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
    def shares(self) -> bool:
        """Whether a share can be chosen for it; the full cache has all, the controls have frames."""
        return self.policy.partition("+")[0] != "full" and self.policy not in CONTROLS

    def watcher(self, model: Model, item: Item, tokens_per_step: int | None, room: int = 512) -> Watcher:
        """Open a fresh memory for one stream: |M| is the share of its full cache, and at least one step."""
        if self.policy in CONTROLS:
            return CONTROLS[self.policy](model, item, tokens_per_step, room)
        tokens = max(item.step_tokens, int(self.fraction * item.tokens))
        if self.retrieval is not None:
            return self.retrieval.watcher(model, tokens, item.step_tokens, tokens_per_step, room, DECODING)
        policy, keep, options = self._parsed()
        budget = Budget(tokens=tokens, keep=keep, room=room + options["ring"] * item.step_tokens)
        return Remembering(
            Session(model, budget, policy, tokens_per_step=tokens_per_step, decoding=DECODING, **options)
        )

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


def contenders(policies: Sequence[str], fractions: Sequence[Fraction]) -> list[Contender]:
    """Every policy at every share; those without a share to choose take part once."""
    alone = [contender for name in policies if not (contender := Contender(name)).shares]
    return alone + [Contender(name, f) for f in fractions for name in policies if Contender(name).shares]
