"""A run in parts: videos are the unit. Each part has a log of its own, and together they are the serial run's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.records import Content, Left, Record, Unit, differences, read_log
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

    def takes(self, place: int) -> bool:
        """Whether the video at this place, from 0, is of this part. Whether others are missing changes nothing."""
        return place % self.of == self.number - 1

    def log(self, out: Path, name: str) -> Path:
        """Where its records go."""
        part = "" if self.of == 1 else f".{self.number}-of-{self.of}"
        return out / f"{name}{part}.jsonl"


def parts_in(folder: Path) -> dict[str, list[Path]]:
    """Logs of parts by benchmark. Raises `UserError` where there are none, and where some are missing."""
    parts: dict[str, dict[Shard, Path]] = {}
    for path in sorted(folder.glob("*.*-of-*.jsonl")):
        if match := re.fullmatch(r"([^.]+)\.(\d+)-of-(\d+)\.jsonl", path.name):
            parts.setdefault(match[1], {})[Shard(int(match[2]), int(match[3]))] = path
    if not parts:
        raise UserError(f"no parts in {folder}: run infinipot-v eval NAME --shard 1/2 --out {folder} first")
    for name, own in parts.items():
        counts = {shard.of for shard in own}
        if len(counts) > 1:
            raise UserError(f"parts of {name} are of {sorted(counts)} in {folder}: keep those of one run")
        lacking = [f"{n}/{count}" for count in counts for n in range(1, count + 1) if Shard(n, count) not in own]
        if lacking:
            raise UserError(f"parts of {name} are missing in {folder}: run --shard {', '.join(lacking)}")
    return {name: list(own.values()) for name, own in parts.items()}


@dataclass(frozen=True)
class Merged:
    """The records of all parts, what they left out, and the settings that they share."""

    records: Sequence[Record]
    left: Sequence[Left]
    settings: dict[str, Any]


def merge(paths: Sequence[Path]) -> Merged:
    """Read the logs of parts. Raises `UserError` where they are not of one run, or one is not done."""
    contents = [read_log(path) for path in paths]
    for path, content in zip(paths, contents, strict=True):
        if content.settings != contents[0].settings:
            differing = ", ".join(differences(content.settings, contents[0].settings))
            raise UserError(f"{path} is of another run than {paths[0]}: they differ in {differing}")
    contenders = {record.unit[:2] for content in contents for record in content.records}
    records = [
        record for path, content in zip(paths, contents, strict=True) for record in _all(path, content, contenders)
    ]
    left = {one for content in contents for one in content.left}
    return Merged(records, sorted(left, key=lambda one: (one.what, one.why)), contents[0].settings)


def _all(path: Path, content: Content, contenders: set[Any]) -> list[Record]:
    """A part's records. Raises `UserError` unless everybody has watched every video that could be watched."""
    units: dict[Unit, list[Record]] = {}
    for record in content.records:
        units.setdefault(record.unit, []).append(record)
    whole = {unit: records for unit, records in units.items() if len(records) == records[0].of}
    watched = content.videos - sum(left.tried and not left.policy for left in content.left)
    expected = watched * len(contenders) - sum(bool(left.policy) for left in content.left)
    if len(whole) < expected:
        raise UserError(
            f"{path} holds {len(whole)} of {expected} runs of a policy over a video: run that part to its end, with "
            "the policies of the others"
        )
    return [record for records in whole.values() for record in records]
