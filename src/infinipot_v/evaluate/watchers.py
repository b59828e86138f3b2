"""Who watches: a session with its memory, or one of the controls that keep none. All answer one question at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from infinipot_v.budget import Budget
from infinipot_v.evaluate.base import Item, Manner
from infinipot_v.evaluate.standing import chance_of_yes
from infinipot_v.models.base import Model
from infinipot_v.session import Session
from infinipot_v.types import Answer, Frame, RoomFull

LAST_FRAMES = "last-frames"
BLIND = "blind"


class Watcher(Protocol):
    """Watches one stream and answers questions about it, each on its own."""

    def watch(self, frames: Iterable[Frame]) -> None: ...
    def ask(self, question: str) -> Answer: ...
    def chance(self, question: str) -> float | None: ...
    @property
    def held_tokens(self) -> int: ...
    @property
    def seen_tokens(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


REFUSED = "refused"
"""How an answer ended that never began: `Answer.finish`."""


def asked(session: Session, question: str) -> Answer:
    """The answer to a question on its own, special tokens of the model's left out of it.

    One that is too long for the room is no reason to end a run of thousands: it has an empty answer, `REFUSED`.
    """
    try:
        return session.ask(session.model.prompt.plain(question), remember=False)
    except RoomFull:
        return Answer(question, "", 0, 0.0, 0.0, REFUSED)


def chance(session: Session, question: str) -> float | None:
    """P(yes) against no of the same."""
    try:
        return chance_of_yes(session, session.model.prompt.plain(question))
    except RoomFull:
        return None


class Remembering:
    """A session: what it held when it was asked is all it has."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def watch(self, frames: Iterable[Frame]) -> None:
        """Watch on."""
        self.session.watch(frames)

    def ask(self, question: str) -> Answer:
        """Answer, and forget the question."""
        return asked(self.session, question)

    def chance(self, question: str) -> float | None:
        """Probability of yes against no; the memory is not touched."""
        return chance(self.session, question)

    @property
    def held_tokens(self) -> int:
        """Stream slots filled a layer and head."""
        return self.session.cache.held_tokens

    @property
    def seen_tokens(self) -> int:
        """Stream tokens that went in."""
        return self.session.report().seen_tokens

    @property
    def nbytes(self) -> int:
        """Bytes of the memory."""
        return self.session.report().nbytes


class LastFrames:
    """The control without a memory: the last frames, prefilled into an empty cache at each question.

    Keeping the newest slots of a running cache would not be it: their keys and values have attended to what was
    evicted, and so remember it. Source of the idea: arXiv 2604.02317.
    """

    def __init__(self, model: Model, item: Item, manner: Manner) -> None:
        self._model, self._manner, self._step_tokens = model, manner, item.step_tokens
        self._frames: deque[Frame] = deque(maxlen=manner.frames)
        self._session: Session | None = None

    def watch(self, frames: Iterable[Frame]) -> None:
        """Remember pixels only, and of the last frames only."""
        self._frames.extend(frames)
        self._session = None

    def _opened(self) -> Session:
        """The window in an empty cache, which is thrown away when the window moves."""
        if self._session is None:
            steps = -(-len(self._frames) // self._model.frames_per_step)
            manner, budget = self._manner, Budget(tokens=self._step_tokens * steps, room=self._manner.room)
            self._session = Session(
                self._model, budget, "full", tokens_per_step=manner.tokens_per_step, max_pixels=manner.max_pixels,
                system=manner.system, decoding=manner.decoding, text_tokens=manner.text_tokens,
            )  # fmt: skip
            self._session.watch(list(self._frames))
        return self._session

    def ask(self, question: str) -> Answer:
        """Prefill what is in the window, and answer."""
        return asked(self._opened(), question)

    def chance(self, question: str) -> float | None:
        """Probability of yes against no."""
        return chance(self._opened(), question)

    @property
    def held_tokens(self) -> int:
        """Tokens prefilled for the newest question."""
        return self._session.cache.held_tokens if self._session else 0

    @property
    def seen_tokens(self) -> int:
        """The same: nothing else was ever seen."""
        return self.held_tokens

    @property
    def nbytes(self) -> int:
        """Bytes of the throw-away cache."""
        return self._session.cache.nbytes if self._session else 0


class Blind(LastFrames):
    """The control that sees nothing: one grey step instead of the stream. What it gets right can be guessed."""

    def watch(self, frames: Iterable[Frame]) -> None:
        """Look away."""
        frames = iter(frames)
        for first in frames:
            grey = [Frame(np.full_like(first.pixels, 128), float(second)) for second in range(2)]
            self._frames.clear()
            super().watch(grey)
            break
        for _ in frames:  # time goes on all the same
            pass


CONTROLS: dict[str, type[LastFrames]] = {LAST_FRAMES: LastFrames, BLIND: Blind}
"""What takes part without keeping a memory, under the name that it has in the place of a policy's."""
