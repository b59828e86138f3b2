"""Sessions in the middle of their lives, and whether two of them are alike to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infinipot_v import Decoding, Frame, Session
from infinipot_v.answering import Answering
from infinipot_v.saving.codec import encode
from tests.families import small_session

SHORT = Decoding(max_new_tokens=4)


def pictures(frames: int, seed: int = 3) -> list[Frame]:
    """Frames of noise, a second apart; no picture twice."""
    rng = np.random.default_rng(seed)
    return [Frame(rng.integers(0, 255, (90, 140, 3), dtype=np.uint8), float(second)) for second in range(frames)]


def opened(model: Any, policy: Any = "infinipot-v", **options: Any) -> Session:
    """A session of six steps, a room for questions, and short answers."""
    return small_session(model, 6, policy, decoding=SHORT, **options)


def everything(session: Session) -> tuple[Any, dict[str, Tensor]]:
    """All of a session's state as values and tensors, by the codec that writes it."""
    tensors: dict[str, Tensor] = {}
    return encode(session.state(), tensors, ""), tensors


def differences(one: Session, other: Session) -> list[str]:
    """What of two sessions is not alike to the bit; empty for the same memory."""
    (values, tensors), (others, other_tensors) = everything(one), everything(other)
    found = [name for name in tensors.keys() | other_tensors.keys() if not _same(name, tensors, other_tensors)]
    return found + ([] if values == others else ["values"])


def _same(name: str, one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return name in one and name in other and torch.equal(one[name], other[name])


def logits_of(session: Session, question: str = "What is it?") -> Tensor:
    """The logits behind a question, float32; the memory is left as it was."""
    shown, clock = session._shown()
    room = session.cache.budget.room - sum(block.steps.numel() for block, _ in shown)
    prepared = session.dialogue.prepare(question, room, 1)
    try:
        return Answering(session.model, session.cache, clock, prepared, SHORT, shown)._question().clone()
    finally:
        session.cache.rollback()


def alike(sessions: Sequence[Session]) -> bool:
    """Whether all hold the same memory and would answer the same, to the bit."""
    first, *rest = sessions
    return all(not differences(first, other) and torch.equal(logits_of(first), logits_of(other)) for other in rest)
