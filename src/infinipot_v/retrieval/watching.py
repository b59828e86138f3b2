"""Retrieval as a contender of `infinipot-v eval`: the share is that of its working set, for it has no cap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from infinipot_v.generate import Decoding
from infinipot_v.models.base import Model
from infinipot_v.nearest import did_you_mean
from infinipot_v.policies.options import check_choice, option_pair
from infinipot_v.retrieval.session import POSITIONS, ReKV
from infinipot_v.retrieval.shelves import MEMORY
from infinipot_v.types import Answer, Frame, UserError


@dataclass(frozen=True)
class Retrieval:
    """How `rekv` takes part. Of a working set of so many tokens, `window` (a share) is the sliding window, and the
    rest is steps fetched; the authors' own settings have 54 % in the window. `where` and `positions`: see `ReKV`.
    """

    window: float = 0.5
    where: str = MEMORY
    positions: str | None = None

    def __post_init__(self) -> None:
        number = isinstance(self.window, int | float) and not isinstance(self.window, bool)
        if not number or not 0 < self.window < 1:
            raise UserError(f"window={self.window!r} is out of range: it is a share, above 0 and below 1")
        if self.positions is not None:
            check_choice("positions", self.positions, POSITIONS)

    @classmethod
    def parse(cls, options: Sequence[str]) -> Retrieval:
        """Read `NAME=VALUE` options. Raises `UserError` for an unknown one."""
        pairs: dict[str, Any] = dict(option_pair(option) for option in options)
        known = list(cls.__dataclass_fields__)
        for name in pairs:
            if name not in known:
                raise UserError(f"rekv has no option {name!r}{did_you_mean(name, known)}: it has {', '.join(known)}")
        return cls(**pairs)

    def watcher(
        self, model: Model, tokens: int, step_tokens: int, tokens_per_step: int | None, room: int, text_tokens: int,
        decoding: Decoding,
    ) -> RetrievalWatcher:  # fmt: skip
        """Open a session whose window and fetched steps take `tokens`, but at least a step each."""
        local = max(step_tokens, int(self.window * tokens))
        blocks = max(1, (tokens - local) // step_tokens)
        session = ReKV(
            model, local, blocks, where=str(self.where), tokens_per_step=tokens_per_step, positions=self.positions,
            room=room, text_tokens=text_tokens, decoding=decoding,
        )  # fmt: skip
        return RetrievalWatcher(session)


class RetrievalWatcher:
    """Watches one stream and keeps all of it."""

    def __init__(self, session: ReKV) -> None:
        self.session = session

    def watch(self, frames: Iterable[Frame]) -> None:
        """Watch on."""
        self.session.watch(frames)

    def ask(self, question: str) -> Answer:
        """Answer, and forget the question."""
        return self.session.ask(question, remember=False)

    def chance(self, question: str) -> float | None:
        """Not known of it: what it fetches is fetched layer by layer, for one answer."""
        return None

    @property
    def seen_tokens(self) -> int:
        """Stream tokens that went in; it keeps them all."""
        return self.held_tokens

    @property
    def held_tokens(self) -> int:
        """Stream tokens kept a layer and head, wherever they lie: all that were seen."""
        return self.session.cache.held_tokens

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is held, in host memory or on disk and on the device."""
        return self.session.cache.nbytes
