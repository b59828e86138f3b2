"""Asking leaves no trace: every number that the memory holds, before and after, however the answer ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from infinipot_v.cache.layers import capped
from infinipot_v.generate import Decoding
from infinipot_v.session import Session
from infinipot_v.verify.finding import Finding, yes_or_no
from infinipot_v.verify.memory import endless, small_session
from infinipot_v.verify.subject import Subject

SEVERAL = Decoding(max_new_tokens=8)


def ask(subject: Subject) -> Finding:
    """An answer read to its end, one cancelled half-way, and one that fails."""
    session = watched(subject)
    before, first = contents(session), _reply(session, subject)
    endings = {"read to its end": _finished, "cancelled": _cancelled, "that fails": _failed}
    for how, end in endings.items():
        end(session, subject)
        if words := difference(before, contents(session)):
            return yes_or_no("no trace", False, f"an answer {how} leaves a trace: {words}", "")
    if _reply(session, subject) != first:
        return yes_or_no("no trace", False, "the same question is answered otherwise the second time", "")
    return yes_or_no("no trace", True, "", f"{len(before)} buffers and counts are the same to the bit")


def watched(subject: Subject) -> Session:
    """A small session after some compactions."""
    session = small_session(subject)
    session.watch(islice(endless(subject), 6 * subject.model.frames_per_step))
    return session


def contents(session: Session) -> dict[str, Any]:
    """Everything that a memory holds, by name; tensors are copied."""
    cache, report = session.cache, asdict(session.report())
    report.pop("peak_bytes")
    found: dict[str, Any] = {
        **report, "counters": cache.counters, "room left": cache.room_left, "length": cache.get_seq_length(),
        "turns": list(session.dialogue.turns),
    }  # fmt: skip
    for index, layer in enumerate(capped(cache.layers)):
        keys, values = layer.store.filled()
        _, _, steps, cells, scores = layer.store.stream()
        named = {"keys": keys, "values": values, "steps": steps, "cells": cells, "scores": scores}
        found |= {f"{name} of layer {index}": tensor.clone() for name, tensor in named.items()}
    for index, other in enumerate(layer for layer in cache.layers if layer not in capped(cache.layers)):
        found |= {f"{name} of other layer {index}": tensor.clone() for name, tensor in _tensors(vars(other))}
    return found


def difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What differs, in words; empty where nothing does."""
    for name, value in before.items():
        other = after.get(name)
        if isinstance(value, Tensor):
            if not isinstance(other, Tensor) or value.shape != other.shape:
                return f"{name} has another shape"
            if not torch.equal(value, other):
                return f"{name} differ in {int((value != other).sum())} numbers"
        elif value != other:
            return f"{name}: {value} before, {other} after"
    return ""


def _tensors(held: Any, name: str = "state") -> Iterator[tuple[str, Tensor]]:
    if isinstance(held, Tensor):
        yield name, held
    elif isinstance(held, dict):
        for key, value in held.items():
            yield from _tensors(value, f"{key}")


def _reply(session: Session, subject: Subject) -> str:
    return session.ask(subject.question, remember=False, decoding=SEVERAL).text


def _finished(session: Session, subject: Subject) -> None:
    _reply(session, subject)


def _cancelled(session: Session, subject: Subject) -> None:
    pieces = session.stream(subject.question, decoding=SEVERAL)
    next(pieces, None)
    pieces.close()


def _failed(session: Session, subject: Subject) -> None:
    """The language model raises in the middle of an answer."""
    calls: list[int] = []

    def raising(*_: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise _Stop

    hook = session.model.hf.get_decoder().register_forward_hook(raising)
    try:
        with suppress(_Stop):
            session.ask(subject.question, decoding=SEVERAL, remember=False)
    finally:
        hook.remove()


class _Stop(Exception):
    """What `_failed` raises."""


Ending = Callable[[Session, Subject], None]
