"""Whether a stream can be where a file says it is. Everything small is checked before it is used.

Checksums find accidents; these checks find what somebody made up, before it fails in the middle of an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from infinipot_v.models.base import Model
from infinipot_v.moment import Moment, SessionState, Setup
from infinipot_v.reduction.base import sketch
from infinipot_v.reduction.stream import Remembered
from infinipot_v.ring import Ring
from infinipot_v.sources.frames import as_frames
from infinipot_v.sources.times import MOST_SECONDS
from infinipot_v.types import Frame, UserError


def check_plausible(state: SessionState, setup: Setup, model: Model) -> None:
    """Raise `UserError` (or what arithmetic raises on nonsense) unless a stream of this model can be there."""
    moment, counters = state.moment, state.cache.counters
    if not all(abs(seconds) <= MOST_SECONDS for seconds in _times(moment)):
        raise UserError("a time in it is none that a stream has")
    _check_waiting(moment, model)
    if moment.steps <= counters.newest_step or moment.steps < counters.steps or counters.steps < 0:
        raise UserError(f"{moment.steps} steps have been watched, but the cache has {counters.newest_step + 1}")
    if moment.ring.size != setup.settings.ring or len(moment.ring.steps) > setup.settings.ring:
        raise UserError(f"a ring of {moment.ring.size} steps, where {setup.settings.ring} were asked for")
    _check_clock(moment, setup, model)
    _check_ring(moment.ring)
    _check_sketches(state.reduced, moment, watched=setup.settings.reduction.of_frames)


def _times(moment: Moment) -> Iterator[float]:
    """Every time of a moment, and what its clocks count by them."""
    yield moment.first_seconds
    if moment.frames:
        yield moment.last_seconds
    for frame in moment.waiting:
        yield frame.seconds
    for block, _ in moment.ring.steps:
        yield from block.seconds
    for clock in (moment.clock, *(clock for _, clock in moment.ring.steps)):
        if clock is not None:
            own = vars(clock)
            yield from (own.get(name) or 0.0 for name in ("origin", "interval", "latest", "placed", "steps", "base"))


def _check_waiting(moment: Moment, model: Model) -> None:
    frames = moment.waiting
    for frame in as_frames(frames):
        if not frame.seconds > moment.last_seconds and moment.frames:
            raise UserError("a frame that waits is older than the memory")
    if len(frames) >= model.frames_per_step + (not moment.canvas):
        raise UserError(f"{len(frames)} frames wait, which make a step")


def _check_clock(moment: Moment, setup: Setup, model: Model) -> None:
    settings = setup.settings
    if (moment.canvas is None) != (moment.clock is None):
        raise UserError("a stream that has begun has a resolution and a clock")
    if moment.clock is not None and moment.canvas is not None:
        prefix = len(model.prompt.prefix(settings.system))
        fresh = model.clock(prefix, moment.canvas.grid, "hf" if settings.positions == "hf" else "max")
        fresh = replace(fresh, listening=settings.text_tokens > 0)
        if not moment.clock.continues(fresh, setup.budget.room):
            raise UserError("its positions do not continue those of this model and prompt")


def _check_ring(ring: Ring) -> None:
    for block, clock in ring.steps:
        whole = all(tensor.dim() == 1 and tensor.dtype == torch.int64 for tensor in (block.steps, block.cells))
        if not whole or block.steps.shape != block.cells.shape or len(block.seconds) != 1:
            raise UserError("a step of the ring is none")
        if clock is not None:
            clock.place(block)


def _check_sketches(reduced: Remembered, moment: Moment, watched: bool) -> None:
    """Frames are compared with sketches of those before: of the newest one, and of each that waits."""
    alike = sketch(Frame(np.zeros((2, 2, 3), dtype=np.uint8), 0.0))
    sketches = [one for _, one in reduced.waiting] + ([] if reduced.newest is None else [reduced.newest])
    if any(one.shape != alike.shape or one.dtype != alike.dtype for one in sketches):
        raise UserError("a frame is remembered in another form than this release's")
    known = {seconds for seconds, _ in reduced.waiting}
    if watched and any(frame.seconds not in known for frame in moment.waiting):
        raise UserError("a frame that waits has not been looked at")
