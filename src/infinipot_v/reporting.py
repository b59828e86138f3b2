"""The report: what a memory holds, has seen and costs."""

from __future__ import annotations

from infinipot_v.cache import CappedCache
from infinipot_v.models.base import Model
from infinipot_v.moment import Moment
from infinipot_v.peak import peak_bytes
from infinipot_v.reduction.stream import Reducing
from infinipot_v.types import MemoryReport


def report_of(
    model: Model, cache: CappedCache, at: Moment, reducing: Reducing, nbytes: int, restored: str
) -> MemoryReport:
    """All figures of a session at one moment."""
    counters, ranks, notes = cache.counters, cache.ranks_before(0), [note or {} for note in cache.notes]
    clock = at.clock if at.clock is None or ranks is None else at.clock.at_rank(ranks)
    return MemoryReport(
        policy=repr(cache.policy),
        budget_tokens=cache.tokens,
        held_tokens=cache.held_tokens,
        seen_tokens=counters.seen_tokens,
        prefix_tokens=cache.prefix_tokens,
        room_tokens=cache.budget.room,
        steps=at.steps,
        frames=at.frames + len(at.waiting),
        waiting_frames=len(at.waiting),
        letterboxed_frames=at.letterboxed,
        reduced_frames=reducing.frames,
        reduced_tokens=reducing.tokens,
        seconds=max(0.0, at.last_seconds - at.first_seconds),
        compressions=counters.compressions,
        cap_bytes=cache.cap_bytes,
        nbytes=nbytes,
        peak_bytes=peak_bytes(model.device),
        position=-1 if clock is None else clock.furthest,
        position_limit=model.position_limit,
        kernels=tuple(note.get("kernel") for note in notes),
        variations=tuple(note.get("variation") for note in notes),
        restored=restored,
        cut_tokens=at.cut,
    )
