"""Filling a memory: as much of a stream as wanted, with or without a vision tower, and without the model at all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch

from infinipot_v.bench.models import kv_heads
from infinipot_v.bench.plain_session import PlainSession
from infinipot_v.bench.subject import Subject
from infinipot_v.generate import end_tokens
from infinipot_v.models.base import Canvas, Model
from infinipot_v.models.stand_in import stand_in
from infinipot_v.session import Session
from infinipot_v.types import Block, Frame


class Feed:
    """A stream that a session watches block by block, as far as it is asked to, while the subject has time."""

    def __init__(
        self, subject: Subject, session: Session | PlainSession, block: int | None = None, seed: int = 0
    ) -> None:
        self._subject, self._session = subject, session
        self._frames = subject.frames(seed)
        self._block = block or subject.sizes.block

    def steps(self, count: int) -> None:
        """Watch `count` more steps. Raises `TimeUp`."""
        while count > 0:
            self._subject.deadline.check()
            some = min(self._block, count)
            self._session.watch(islice(self._frames, some * self._session.model.frames_per_step))
            count -= some

    def until(self, tokens: int) -> None:
        """Watch until `tokens` have been seen, or as many as whole steps allow. Raises `TimeUp`."""
        while (missing := (tokens - self._session.report().seen_tokens) // self._subject.step_tokens) > 0:
            self.steps(min(self._block, missing))


def imagined(model: Model, seed: int = 0) -> Model:
    """`model` without its vision tower: random embeddings, of the size and in the places of real ones.

    The first step is encoded truly, to see how many tokens a step has and which of them are text.
    """
    generator = torch.Generator(device=model.device)
    generator.manual_seed(seed)
    seen: list[tuple[Block, float]] = []

    def encode(frames: Sequence[Frame], canvas: Canvas, first_step: int) -> Block:
        if not seen:
            first = model.encode(frames[: model.frames_per_step], canvas, first_step)
            seen.append((first, float(first.embeddings.float().std())))
        (one, spread), steps = seen[0], len(frames) // model.frames_per_step
        shape = (steps * one.cells.numel(), one.embeddings.shape[1])
        noise = torch.empty(shape, dtype=one.embeddings.dtype, device=one.embeddings.device)
        noise.normal_(0.0, spread, generator=generator)
        numbers = torch.arange(first_step, first_step + steps).repeat_interleave(one.cells.numel())
        seconds = tuple(frame.seconds for frame in frames[:: model.frames_per_step])
        return Block(noise, numbers, one.cells.repeat(steps), seconds)

    return stand_in(model, encode=encode)


def without_prefill(model: Model, seed: int = 0) -> Model:
    """`imagined(model)` whose language model is not run over the stream either: random keys and values.

    They go where those of a prefill would, so a memory fills in no time, and what is done with it costs the same.
    """
    generator = torch.Generator(device=model.device)
    generator.manual_seed(seed)
    (heads, dim), layers = kv_heads(model), model.text_config.num_hidden_layers

    def prefill(block: Block, positions: Any, cache: Any) -> None:
        shape = (2, 1, heads, block.steps.numel(), dim)
        for layer in range(layers):
            noise = torch.empty(shape, dtype=model.hf.dtype, device=model.device).normal_(generator=generator)
            cache.update(noise[0], noise[1], layer)

    return stand_in(imagined(model, seed), prefill=prefill)


def endless(model: Model) -> Model:
    """`model`, which never ends an answer: what is timed is as long as wanted."""
    ends = sorted(end_tokens(model))

    def next_logits(ids: Sequence[int], positions: Any, cache: Any) -> torch.Tensor:
        logits = model.next_logits(ids, positions, cache)
        logits[ends] = -torch.inf
        return logits

    return stand_in(model, next_logits=next_logits)
