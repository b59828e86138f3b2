"""The record of a run: JSON lines, one a question, that survive kill -9 and refuse to be mixed."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infinipot_v.types import UserError

Poll = tuple[float, str, float | None]
"""When a standing question was polled (seconds), the reply, and the probability of yes."""


@dataclass(frozen=True)
class Record:
    """One question, asked of one contender. `of` is the number of questions of its item.

    `budget_fraction` is the share of the full cache; where the limit is an absolute `budget`, it is what that was of
    this item's. `held_tokens`, `seen_tokens` and `nbytes` are those right before the question, `seconds` the time of
    the answer and `first_token_seconds` that of its first token. `frames` were watched by then, in `watching_seconds`
    of the clock, which is decoding, vision, prefill and compaction; `video_seconds` is how far into the video it was.
    `chance` is the probability of yes against no, of a yes-or-no question; `follow_up` the reply to what was asked
    right behind it. A question that was polled is one record, with its `polls`; `truth` is from when on yes is right.
    `finish` is how the answer ended (`Answer.finish`; `refused`: too long a question for the room), and `damage` what
    was lost of the video by then. `verdict` is a judge's yes or no, or `unreadable`, and `score` its 0 to 5; empty:
    not judged.
    """

    policy: str
    budget_fraction: float
    item: str
    index: int
    of: int
    kind: str
    delay: float
    question: str
    answer: str
    reply: str
    correct: bool
    held_tokens: int
    nbytes: int
    seconds: float
    budget: str = ""
    group: str = ""
    series: str = ""
    identity: str = ""
    at: float | None = None
    parsed: bool = True
    chance: float | None = None
    seen_tokens: int = 0
    first_token_seconds: float = 0.0
    frames: int = 0
    watching_seconds: float = 0.0
    video_seconds: float = 0.0
    truth: float | None = None
    verdict: str = ""
    score: float | None = None
    follow_up: str | None = None
    finish: str = ""
    damage: str = ""
    polls: Sequence[Poll] = ()

    @property
    def limit(self) -> float | str:
        """What the contender might hold: a budget as it was written, or a share of the full cache."""
        return self.budget or self.budget_fraction

    @property
    def unit(self) -> Unit:
        """The unit that it belongs to."""
        return self.policy, self.limit, self.item


Unit = tuple[str, float | str, str]
"""Policy, limit and item: what is done again whole when it was interrupted."""


@dataclass(frozen=True)
class Left:
    """What was left out: a video or a record by name, why, and how many questions went with it.

    `tried`: a video that was there, and could not be watched. `policy`: only this contender could not watch it.
    """

    what: str
    why: str
    questions: int = 1
    tried: bool = False
    policy: str = ""


class RecordLog:
    """A file of records. Its first line holds the settings; every item's records are appended in one write.

    `left` is what the newest run has left out. A video that could be read later leaves it again.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.left: list[Left] = []
        self._units: dict[Unit, dict[int, Record]] = defaultdict(dict)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole:
            self._resume(_parsed(path, whole))
        if len(whole) < len(content):  # a kill in mid-write: drop the half line, so that the next append starts clean
            os.truncate(path, len(whole))
        if not whole:
            self._append([{"settings": self.settings}])

    def _resume(self, found: Content) -> None:
        if found.settings != self.settings:
            differing = ", ".join(differences(found.settings, self.settings))
            raise UserError(f"{self.path} was made with other settings ({differing}): give another --out, or remove it")
        self.left = list(found.left)
        for record in found.records:
            self._units[record.unit][record.index] = record

    def done(self, unit: Unit) -> bool:
        """Whether all of a unit's questions are recorded."""
        records = self._units.get(unit, {})
        return bool(records) and len(records) == next(iter(records.values())).of

    def write(self, unit: Unit, records: Sequence[Record]) -> None:
        """Append a whole unit and see it onto the disk."""
        self._append([asdict(record) for record in records])
        self._units[unit] = {record.index: record for record in records}

    def take(self, unit: Unit, found: Sequence[Record] | Left) -> None:
        """Write a unit, or that it is left out."""
        if isinstance(found, Left):
            self.leave(found)
        else:
            self.write(unit, found)

    def begin(self, videos: int, left: Iterable[Left]) -> None:
        """A run of `videos` begins, and knows already what it leaves out; what an earlier one left counts no more."""
        self.left = list(left)
        self._append([{"left": [asdict(one) for one in self.left], "videos": videos}])

    def leave(self, left: Left) -> None:
        """Something more is left out."""
        self.left.append(left)
        self._append([{"left": [asdict(left)]}])

    def records(self) -> list[Record]:
        """All records of whole units."""
        return [r for unit, records in self._units.items() if self.done(unit) for r in records.values()]

    def _append(self, lines: Iterable[dict[str, Any]]) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class Content:
    """What a file of records holds in whole lines: `videos` is how many its newest run was about, 0 if not said."""

    settings: dict[str, Any]
    records: tuple[Record, ...]
    left: tuple[Left, ...]
    videos: int


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Names of the settings in which two runs differ."""
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))


def read_records(path: Path) -> list[Record]:
    """All records of a file. Raises `UserError` when it is missing or damaged."""
    return list(read_log(path).records)


def read_log(path: Path) -> Content:
    """All that a file holds; nothing is written. Raises `UserError` when it is missing or damaged."""
    if not path.is_file():
        raise UserError(f"no records at {path}: run infinipot-v eval first, or give --records")
    content = path.read_bytes()
    return _parsed(path, content[: content.rfind(b"\n") + 1])


def _parsed(path: Path, content: bytes) -> Content:
    """Of whole lines. Raises `UserError` for damaged ones."""
    records, left, videos = list[Record](), list[Left](), 0
    try:
        lines = [json.loads(line) for line in content.splitlines()]
        for line in lines[1:]:
            if "videos" in line:
                left, videos = [], line["videos"]
            if "left" in line:
                left += [Left(**one) for one in line["left"]]
            else:
                records.append(Record(**line))
        return Content(lines[0]["settings"], tuple(records), tuple(left), videos)
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged: give another --out, or remove it") from error
