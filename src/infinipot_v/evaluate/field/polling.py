"""A standing question, polled: one record a question, decided by the first yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infinipot_v.evaluate.records import Record


def together(records: Sequence[Record]) -> list[Record]:
    """Records of a `series` become one: that of the first poll with a follow-up, or of the last poll, in order of time.

    The others stay as they are. It carries all polls, and counts as parsed only if every poll could be.
    """
    series: dict[str, list[Record]] = {}
    for record in records:
        if record.series:
            series.setdefault(record.series, []).append(record)
    return [record for record in records if not record.series] + [_one(polls) for polls in series.values()]


def _one(polls: list[Record]) -> Record:
    polls = sorted(polls, key=_time)
    decided = next((record for record in polls if record.follow_up is not None), polls[-1])
    shown = tuple((_time(record), record.reply, record.chance) for record in polls)
    return replace(decided, polls=shown, parsed=all(record.parsed for record in polls))


def _time(record: Record) -> float:
    return record.at or 0.0
