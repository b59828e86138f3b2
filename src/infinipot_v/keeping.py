"""A memory in other hands: from a file, in a smaller budget, or twice."""

from __future__ import annotations

import gc
from collections.abc import Sized
from dataclasses import replace
from pathlib import Path

from infinipot_v.budget import Budget
from infinipot_v.models.base import Model
from infinipot_v.moment import Setup
from infinipot_v.saving import read_memory
from infinipot_v.session import Session
from infinipot_v.types import UserError


def load_session(path: str | Path, model: Model, budget: Budget | None = None) -> Session:
    """See `Session.load`."""
    memory = read_memory(path, model)
    with memory.explained():
        session = _empty(model, memory.setup)
        session.restore(memory.state)
        session.restored = memory.restored
        memory.check(session.cache)
    return session if budget is None else _trimmed(session, budget)


def fork_session(session: Session, living: Sized) -> Session:
    """See `Session.fork`; `living` forks are there already."""
    concurrent = session.settings.concurrent
    if len(living) >= concurrent:
        gc.collect()  # a fork that was dropped may live until then
    if len(living) >= concurrent:
        raise UserError(
            f"{len(living)} of {concurrent} forks live: open the session with a larger concurrent=, so that the cap "
            "counts them"
        )
    fork = _empty(session.model, replace(session.setup, settings=replace(session.settings, concurrent=0)))
    fork.restore(session.state())
    fork.restored = session.restored
    return fork


def _trimmed(session: Session, budget: Budget) -> Session:
    """The same memory within a smaller budget, compacted once. Raises `UserError` where that is not smaller."""
    smaller = _empty(session.model, replace(session.setup, budget=budget))
    if smaller.cache.tokens >= session.cache.tokens:
        raise UserError(
            f"a budget of {smaller.cache.tokens} tokens does not trim a memory of {session.cache.tokens}: give less"
        )
    if smaller.cache.tokens < session.cache.held_tokens:
        session.compact(smaller.cache.tokens)
    smaller.restore(session.state(copy=False))
    smaller.restored = session.restored
    return smaller


def _empty(model: Model, setup: Setup) -> Session:
    own = setup.settings
    return Session(
        model, setup.budget, setup.policy, system=own.system, tokens_per_step=own.tokens_per_step,
        max_pixels=own.max_pixels, positions=own.positions, block=own.block, decoding=setup.decoding,
        reduce=own.reduction, ring=own.ring, concurrent=own.concurrent, text_tokens=own.text_tokens,
    )  # fmt: skip
