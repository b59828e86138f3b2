"""Has the replies of a run judged: verdicts lie in a file of their own beside the records, one file a judge."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.field.judge import Judge, Verdict
from infinipot_v.evaluate.records import Record
from infinipot_v.types import UserError

AT_ONCE = 8
"""Questions to the judge that are under way together."""


def label(settings: dict[str, Any]) -> str:
    """A judge's name in file names: its model, and a digest of everything that tells judges apart."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', settings['model'].rpartition('/')[2])}-{digest}"


class Verdicts:
    """A file of verdicts by digest of question, answer and reply. Whole lines survive a kill; half a line is dropped.

    The same reply to the same question is judged once, whoever gave it.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self._known: dict[str, Verdict] = {}
        if not path.exists():
            self._append([{"judge": settings}])
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            if lines[0]["judge"] != settings:
                raise UserError(f"{path} is of another judge: remove it, or give another --out")
            self._known = {line.pop("of"): Verdict(**line) for line in lines[1:]}
        except (ValueError, LookupError, TypeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path} is damaged: remove it, and judge again") from error
        os.truncate(path, len(whole))

    def of(self, record: Record) -> Verdict | None:
        """What was judged of a reply; None if nothing was."""
        return self._known.get(_digest(record))

    def keep(self, record: Record, verdict: Verdict) -> None:
        """Write down one verdict."""
        self._known[_digest(record)] = verdict
        self._append([{"of": _digest(record), **asdict(verdict)}])

    def _append(self, lines: Iterable[dict[str, Any]]) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())


def judged(
    records: Sequence[Record],
    judge: Judge,
    verdicts: Verdicts,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Record]:
    """The records with their verdicts; replies that were judged before are not judged again."""
    todo = {_digest(record): record for record in records if verdicts.of(record) is None}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [
            (record, pool.submit(judge, record.question, record.answer, record.reply)) for record in todo.values()
        ]
        try:
            for done, (record, future) in enumerate(waiting, 1):
                verdicts.keep(record, future.result())
                progress(done, len(waiting))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [_with(record, verdicts.of(record)) for record in records]


def _with(record: Record, verdict: Verdict | None) -> Record:
    if verdict is None:
        return record
    return replace(record, correct=verdict.verdict == "yes", verdict=verdict.verdict, score=verdict.score)


def _digest(record: Record) -> str:
    told = json.dumps([record.question, record.answer, record.reply])
    return hashlib.sha256(told.encode()).hexdigest()[:24]
