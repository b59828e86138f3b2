"""The dialogue: turns as text, and how much of them fits the room beside a question and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from infinipot_v.models.prompt import Prompt, Turn
from infinipot_v.types import RoomFull


@dataclass(frozen=True)
class Prepared:
    """A question ready to run: token `ids` behind the video, and `limit`, the answer tokens there is room for."""

    question: str
    ids: tuple[int, ...]
    limit: int
    wanted: int
    dropped_turns: int

    def finish(self, tokens: int, stopped: bool) -> str:
        """Why an answer of `tokens` ended: `stop`, `length` (as many as wanted) or `room` (no slot left)."""
        if stopped or tokens < self.limit:
            return "stop"
        return "length" if self.limit == self.wanted else "room"


class Dialogue:
    """Finished turns, oldest first, under one system prompt (None: the template's own)."""

    def __init__(self, prompt: Prompt, system: str | None) -> None:
        self.system = system
        self.turns: list[Turn] = []
        self._prompt = prompt

    @property
    def least(self) -> int:
        """Tokens of the shortest question."""
        return len(self._prompt.question(self.system, [], "?"))

    def remember(self, question: str, answer: str) -> None:
        """Add a finished turn."""
        self.turns.append((question, self._prompt.plain(answer)))

    def prepare(self, question: str, room: int, max_new_tokens: int) -> Prepared:
        """Fit history, question and answer into `room` slots; the oldest turns drop first, then the answer shortens.

        Raises `RoomFull` when not even the question with one answer token fits.
        """
        self.check(question, room, max_new_tokens)
        dropped = 0
        ids = self._ids(question, dropped)
        while len(ids) + max_new_tokens - 1 > room and dropped < len(self.turns):
            dropped += 1
            ids = self._ids(question, dropped)
        # The last token of an answer is never run through the model, so it needs no slot.
        limit = min(max_new_tokens, room - len(ids) + 1)
        return Prepared(question, tuple(ids), limit, max_new_tokens, dropped)

    def check(self, question: str, room: int, max_new_tokens: int = 1) -> None:
        """Raise `UserError` for an empty question, and `RoomFull` for one that does not fit with no history at all."""
        tokens = len(self._ids(question, len(self.turns)))
        if tokens > room:
            raise RoomFull(
                f"the question takes {tokens} tokens and the room has {room} slots for it: shorten it, or open a "
                f"larger one, of at least {tokens + max_new_tokens} slots beside a waiting step and a ring (--room, "
                "Budget(room=))"
            )

    def _ids(self, question: str, dropped: int) -> list[int]:
        return self._prompt.question(self.system, self.turns[dropped:], question)
