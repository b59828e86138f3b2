"""A run in parts: videos are the unit. Each part has a log of its own, and together they are the serial run's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.base import Item
from infinipot_v.evaluate.records import Left, Record, read_log
from infinipot_v.types import UserError


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `of` parts, from 1. Raises `UserError` for one that there is not."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UserError(f"there is no shard {self.number}/{self.of}: they are 1/{self.of} to {self.of}/{self.of}")

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """Read `I/N`; None is all."""
        if text is None:
            return cls()
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
        if match is None:
            raise UserError(f"cannot read the shard {text!r}: write I/N, as in 1/8 to 8/8")
        return cls(int(match[1]), int(match[2]))

    def takes(self, items: Sequence[Item]) -> list[Item]:
        """Every `of`-th item from its own number on."""
        return list(items[self.number - 1 :: self.of])

    def log(self, out: Path, name: str) -> Path:
        """Where its records go."""
        part = "" if self.of == 1 else f".{self.number}-of-{self.of}"
        return out / f"{name}{part}.jsonl"


def parts_in(folder: Path) -> dict[str, list[Path]]:
    """Logs of parts by benchmark. Raises `UserError` where there are none."""
    parts: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.*-of-*.jsonl")):
        parts.setdefault(path.name.partition(".")[0], []).append(path)
    if not parts:
        raise UserError(f"no parts in {folder}: run infinipot-v eval NAME --shard 1/2 --out {folder} first")
    return parts


@dataclass(frozen=True)
class Merged:
    """The records of all parts, once each, what they left out, and the settings that they share."""

    records: list[Record]
    left: list[Left]
    settings: dict[str, Any]


def merge(paths: Sequence[Path]) -> Merged:
    """Read the logs of parts. Raises `UserError` where they are not parts of one run, or not all of it."""
    found: dict[tuple[Any, ...], Record] = {}
    left: set[Left] = set()
    settings: dict[str, Any] = {}
    for path in paths:
        own, records, out = read_log(path)
        if settings and own != settings:
            differing = sorted(key for key in {*own, *settings} if own.get(key) != settings.get(key))
            raise UserError(f"{path} is of another run than {paths[0]}: {', '.join(differing)} differ")
        settings = own
        left |= set(out)
        found.update({(*record.unit, record.index): record for record in records})
    whole = _whole(list(found.values()))
    _check(whole, left, settings)
    return Merged(whole, sorted(left, key=lambda one: (one.what, one.why)), settings)


def _whole(records: Sequence[Record]) -> list[Record]:
    """Records of units that have all of theirs."""
    counts: dict[Any, int] = {}
    for record in records:
        counts[record.unit] = counts.get(record.unit, 0) + 1
    return [record for record in records if counts[record.unit] == record.of]


def _check(records: Sequence[Record], left: set[Left], settings: dict[str, Any]) -> None:
    """Every video was watched by everybody, or left out."""
    items = {record.item for record in records}
    expected = int(settings.get("videos", len(items)))
    missing = expected - len(items | {one.what for one in left if one.tried})
    if missing > 0:
        raise UserError(f"{missing} of {expected} videos are in no part: run the shards that are missing")
    units = {record.unit for record in records}
    lacking = len(items) * len({unit[:2] for unit in units}) - len(units)
    if lacking:
        raise UserError(f"{lacking} runs of a policy over a video are missing: give every shard the same policies")
