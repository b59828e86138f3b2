"""Plain Hugging Face over a stream: the stock model and its own growing cache, steps and questions as in a session.

Nothing of our cache, policies or session is in between. Adapter, clock and decode loop are ours; they make stock calls,
and `stock_answers` sees to it that the logits are of one, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infinipot_v.bench.plain import stock
from infinipot_v.bench.subject import Subject
from infinipot_v.dialogue import Dialogue
from infinipot_v.generate import Decoding, TextStream, decode
from infinipot_v.models.base import Model
from infinipot_v.models.stand_in import stand_in
from infinipot_v.naming import cache_name
from infinipot_v.types import Answer, Frame

ROOM = 512
"""As `Budget` has it by default: what question and answer may take."""


def stock_answers(model: Model) -> Model:
    """`model`, whose logits come from one stock call, whatever our own way to them is."""

    def next_logits(ids: Any, positions: Tensor, cache: Any) -> Tensor:
        output = model.hf(
            inputs_embeds=model.embed(ids), position_ids=positions.to(model.device), use_cache=True, logits_to_keep=1,
            **{cache_name(model.hf): cache},
        )  # fmt: skip
        logits: Tensor = output.logits[0, -1].float()
        return logits

    return stand_in(model, next_logits=torch.no_grad()(next_logits))


@dataclass(frozen=True)
class PlainReport:
    """What the cache holds, in tokens (prefix left out) and bytes."""

    seen_tokens: int
    nbytes: int
    compressions: int = 0

    @property
    def held_tokens(self) -> int:
        """All of them."""
        return self.seen_tokens


class PlainSession:
    """Watches and answers as `Session` does, with the whole stream in Hugging Face's own cache."""

    def __init__(self, subject: Subject, model: Model | None = None) -> None:
        self.model = model or subject.model
        self._canvas = subject.canvas
        self._dialogue = Dialogue(self.model.prompt, None)
        prefix = self.model.prompt.prefix()
        self._clock = self.model.clock(len(prefix), self._canvas.grid)
        self._cache = self._begun(prefix)
        self._steps = self._seen = 0

    @torch.no_grad()
    def _begun(self, prefix: Any) -> Any:
        """The cache that the model makes for itself, with the prefix in it."""
        embeddings, positions = self.model.embed(prefix), self._clock.prefix_positions().to(self.model.device)
        decoder = self.model.hf.get_decoder()
        with stock(self.model.hf):
            return decoder(inputs_embeds=embeddings, position_ids=positions, use_cache=True)[cache_name(decoder)]

    def watch(self, frames: Iterable[Frame]) -> None:
        """Encode whole steps and run them through the language model in one piece."""
        block = self.model.encode(list(frames), self._canvas, self._steps)
        positions, self._clock = self._clock.place(block)
        with stock(self.model.hf):
            self.model.prefill(block, positions, self._cache)
        self._steps, self._seen = self._steps + len(block.seconds), self._seen + block.steps.numel()

    def ask(self, question: str, *, remember: bool = False, decoding: Decoding) -> Answer:
        """Answer, and cut question and answer off the cache again. Nothing is ever remembered."""
        asked = self._dialogue.prepare(question, ROOM, decoding.max_new_tokens)
        before, first, count = self._length, 0.0, 0
        text = TextStream(self.model.prompt.tokenizer, decoding.stop)
        with stock(self.model.hf):
            began = time.perf_counter()
            logits = self.model.next_logits(asked.ids, self._text(len(asked.ids), 0), self._cache)
            bool(logits.isnan().any())  # as in a session
            for token in decode(
                self.model, self._cache, logits, lambda i: self._text(1, len(asked.ids) + i), decoding, asked.limit
            ):
                count, first = count + 1, first or time.perf_counter() - began
                text.push(token)
            seconds = time.perf_counter() - began
        self._cache.crop(before - self._length)
        return Answer(question, text.text, count, first or seconds, seconds, asked.finish(count, False))

    def _text(self, tokens: int, behind: int) -> Tensor:
        return self._clock.text_positions(tokens, behind)

    @property
    def _length(self) -> int:
        return int(self._cache.get_seq_length())

    def report(self) -> PlainReport:
        """What is held now."""
        nbytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in self._cache.layers)
        return PlainReport(self._seen, nbytes)
