"""One answer: what the room sees, token by token, and out again without a trace."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from torch import Tensor

from infinipot_v.cache import CappedCache
from infinipot_v.dialogue import Prepared
from infinipot_v.generate import Decoding, TextStream, decode
from infinipot_v.models.base import Model
from infinipot_v.positions import Clock
from infinipot_v.types import Answer, Block, UserError


@dataclass(frozen=True)
class Answering:
    """Everything an answer needs: who answers, from which memory, at which time, and what was asked.

    `shown` are blocks and their positions that lie in the room before the question and go with the answer; `clock` is
    the one behind them.
    """

    model: Model
    cache: CappedCache
    clock: Clock
    prepared: Prepared
    decoding: Decoding
    shown: Sequence[tuple[Block, Tensor]] = ()

    def run(self) -> Generator[str, None, Answer]:
        """Yield pieces of text; return the `Answer`. The cache rolls back however this ends."""
        began, first, count = time.perf_counter(), 0.0, 0
        text = TextStream(self.model.prompt.tokenizer, self.decoding.stop)
        try:
            logits = self._question()
            for token in decode(self.model, self.cache, logits, self._position, self.decoding, self.prepared.limit):
                count, first = count + 1, first or time.perf_counter() - began
                if piece := text.push(token):
                    yield piece
                if text.stopped:
                    break
            if tail := text.close():
                yield tail
        finally:
            self.cache.rollback()
        return self._answer(text, count, first, time.perf_counter() - began)

    def first_logits(self) -> Tensor:
        """Logits of the answer's first token, float32 `[vocabulary]`; the cache rolls back."""
        try:
            return self._question()
        finally:
            self.cache.rollback()

    def likelihood(self, answer: str) -> tuple[float, bool]:
        """Log-probability of `answer` as the whole continuation, and whether greedy decoding would say it.

        Natural logarithm, summed over its tokens; the end token does not count. The cache rolls back. Raises
        `UserError` for an answer that has no token, or more than there is room for.
        """
        ids = self.model.prompt.tokenizer(answer, add_special_tokens=False)["input_ids"]
        if not 0 < len(ids) <= self.prepared.limit:
            raise UserError(f"an answer of {len(ids)} tokens: there is room for 1 to {self.prepared.limit}")
        total, greedy = 0.0, True
        try:
            logits = self._question()
            for index, token in enumerate(ids):
                total += float(logits.double().log_softmax(-1)[token])
                greedy = greedy and int(logits.argmax()) == token
                if index + 1 < len(ids):
                    logits = self.model.next_logits([token], self._position(index), self.cache)
        finally:
            self.cache.rollback()
        return total, greedy

    def _question(self) -> Tensor:
        """Prefill what is shown, and the question."""
        self.cache.rollback()
        for block, positions in self.shown:
            self.model.prefill(block, positions, self.cache)
        ids = self.prepared.ids
        logits = self.model.next_logits(ids, self.clock.text_positions(len(ids)), self.cache)
        if bool(logits.isnan().any()):
            raise UserError("the model's logits are NaN: its weights are damaged, or dtype=float16 overflows")
        return logits

    def _position(self, index: int) -> Tensor:
        return self.clock.text_positions(1, behind=len(self.prepared.ids) + index)

    def _answer(self, text: TextStream, count: int, first: float, seconds: float) -> Answer:
        asked = self.prepared
        finish = asked.finish(count, text.stopped)
        return Answer(asked.question, text.text, count, first or seconds, seconds, finish, asked.dropped_turns)


def finished(pieces: Generator[str, None, Answer]) -> Answer:
    """The answer at the end of its pieces."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
