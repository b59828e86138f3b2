"""The decode loop: from logits to token ids, one at a time, and from ids to pieces of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.cache import CappedCache
    from infinipot_v.models.base import Model


@dataclass(frozen=True)
class Decoding:
    """How an answer is decoded. Greedy by default; a `temperature` above zero samples.

    `stop` are strings that end the answer and are not part of it; `seed` makes sampling repeatable.
    Raises `UserError` for values out of range.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.max_new_tokens, int) or self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens={self.max_new_tokens!r} leaves no answer: give a whole number from 1 on")
        self._check_range("temperature", self.temperature == 0 or 0.01 <= self.temperature <= 100, "0, or 0.01 to 100")
        self._check_range("top_p", 0 < self.top_p <= 1, "above 0, at most 1")
        self._check_range("top_k", isinstance(self.top_k, int) and self.top_k >= 0, "a whole number from 0 on")
        self._check_range("repetition_penalty", 0.01 <= self.repetition_penalty <= 100, "0.01 to 100")
        self._check_range("seed", isinstance(self.seed, int) and 0 <= self.seed < 2**63, "a whole number from 0 on")
        if any(not text for text in self.stop):
            raise UserError("a stop string is empty: leave it out")

    def _check_range(self, name: str, valid: bool, says: str) -> None:
        if not valid:
            raise UserError(f"{name}={getattr(self, name)!r} is out of range: {says}")

    @classmethod
    def of_checkpoint(cls, model: Model, max_new_tokens: int = 128) -> Decoding:
        """The checkpoint's own generation_config.json, as its authors recommend it."""
        own = model.hf.generation_config
        if not own.do_sample:
            return cls(max_new_tokens, repetition_penalty=own.repetition_penalty or 1.0)
        return cls(
            max_new_tokens, own.temperature or 1.0, own.top_p or 1.0, own.top_k or 0, own.repetition_penalty or 1.0
        )


def decode(
    model: Model, cache: CappedCache, logits: Tensor, position: Callable[[int], Tensor], decoding: Decoding, limit: int
) -> Iterator[int]:
    """Yield at most `limit` token ids, ending before the model's end token.

    `logits` `[vocabulary]` belong to the first new token; `position(i)` are the positions of the i-th. A token is run
    through the model only when the one behind it is wanted, so the last one never takes a slot.
    """
    choose, ends, ids = _Chooser(decoding), end_tokens(model), list[int]()
    while True:
        token = choose(logits, ids)
        if token in ends:
            return
        yield token
        ids.append(token)
        if len(ids) == limit:
            return
        logits = model.next_logits([token], position(len(ids) - 1), cache)


class _Chooser:
    """Picks the next token: the largest logit, or a sample behind transformers' own warpers."""

    def __init__(self, decoding: Decoding) -> None:
        self._greedy = decoding.temperature == 0
        self._warpers = _warpers(decoding)
        self._random = torch.Generator().manual_seed(decoding.seed)

    def __call__(self, logits: Tensor, ids: Sequence[int]) -> int:
        scores = logits[None]
        for warp in self._warpers:
            scores = warp(torch.tensor([list(ids)], dtype=torch.long, device=logits.device), scores)
        if self._greedy:
            return int(scores.argmax())
        chances = scores[0].softmax(-1).cpu()
        return int(torch.multinomial(chances, 1, generator=self._random))


def _warpers(decoding: Decoding) -> list[Any]:
    from transformers.generation import logits_process as hf

    warpers: list[Any] = []
    if decoding.repetition_penalty != 1:
        warpers.append(hf.RepetitionPenaltyLogitsProcessor(float(decoding.repetition_penalty)))
    if decoding.temperature not in (0, 1):
        warpers.append(hf.TemperatureLogitsWarper(float(decoding.temperature)))
    if decoding.temperature and decoding.top_k:
        warpers.append(hf.TopKLogitsWarper(decoding.top_k))
    if decoding.temperature and decoding.top_p < 1:
        warpers.append(hf.TopPLogitsWarper(decoding.top_p))
    return warpers


def end_tokens(model: Model) -> set[int]:
    """Ids that end an answer: the generation config's and the tokenizer's."""
    own = model.hf.generation_config.eos_token_id
    ends = set(own if isinstance(own, list) else [own])
    return {end for end in ends | {model.prompt.tokenizer.eos_token_id} if end is not None}


class TextStream:
    """Turns token ids into pieces of text that can be printed at once, and watches for stop strings.

    A piece is held back while it ends in half a character, or in what may become a stop string.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._ids: list[int] = []
        self._printed = 0
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Take one more id and return the text that became certain."""
        self._ids.append(token)
        self.text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        cut = min((at for at in map(self.text.find, self._stop) if at >= 0), default=-1)
        if cut >= 0:
            self.text, self.stopped = self.text[:cut], True
            return self._up_to(cut)
        return self._up_to(len(self.text) - self._uncertain())

    def close(self) -> str:
        """Return what was still held back."""
        return self._up_to(len(self.text))

    def _up_to(self, end: int) -> str:
        piece = self.text[self._printed : end]
        self._printed = max(self._printed, end)
        return piece

    def _uncertain(self) -> int:
        whole = self.text.rstrip("\ufffd")
        starts = [n for word in self._stop for n in range(1, len(word)) if whole.endswith(word[:n])]
        return len(self.text) - len(whole) + max(starts, default=0)
