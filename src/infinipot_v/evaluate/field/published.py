"""What others have printed, beside one's own results: a table for each benchmark, metric, backbone and judge."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infinipot_v.evaluate.field import benchmark_names
from infinipot_v.types import UserError

FILE = Path(__file__).with_name("published.toml")
OWN = "yours"
"""The source of a row of one's own."""


@dataclass(frozen=True)
class Number:
    """One number, in the benchmark's own unit, and where it stands.

    `by` is whose paper or table printed it, where that is not the method's own. `judge` is who judged, of judged sets.
    `confirmed` is False for what was read second-hand only.
    """

    benchmark: str
    metric: str
    method: str
    backbone: str
    budget: str
    value: float
    source: str
    judge: str = ""
    by: str = ""
    confirmed: bool = True

    @property
    def table(self) -> tuple[str, str, str, str]:
        """What must be alike for two numbers to stand together."""
        return self.benchmark, self.metric, plain(self.backbone), self.judge


def plain(backbone: str) -> str:
    """A backbone's name as it is compared: without its publisher, case, `-Instruct` and `-hf`."""
    name = backbone.rstrip("/").rpartition("/")[2].lower()
    for ending in ("-hf", "-instruct", "-chat"):
        name = name.removesuffix(ending)
    return name


@cache
def published() -> tuple[Number, ...]:
    """All rows of published.toml."""
    return tuple(Number(**row) for row in tomllib.loads(FILE.read_text(encoding="utf-8"))["row"])


def own_numbers(folder: Path) -> list[Number]:
    """The averages of the results in a folder of `infinipot-v eval --out`. Raises `UserError` where there are none."""
    found = [number for path in sorted(folder.glob("*.json")) for number in _own(path)]
    if not found:
        raise UserError(f"no results of a benchmark of the field in {folder}: run infinipot-v eval NAME first")
    return found


def _own(path: Path) -> Iterable[Number]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        settings, official = result["settings"], result["official"]
        name = settings["benchmark"]
    except (ValueError, KeyError, TypeError):
        return
    judge = settings.get("judge", {})
    who = f"{judge['model']}@{judge['revision']}" if judge else ""
    for row in official if name in benchmark_names() else ():
        for metric, value in row.items():
            if metric not in ("policy", "budget") and value is not None:
                yield Number(name, metric, row["policy"], settings["model"], row["budget"], value, OWN, who)


def tables(numbers: Iterable[Number], own: Sequence[Number] = ()) -> list[list[Number]]:
    """Numbers that may stand together, highest first; nothing of another backbone or judge is in the same table."""
    found: dict[tuple[str, str, str, str], list[Number]] = {}
    for number in (*numbers, *own):
        found.setdefault(number.table, []).append(number)
    return [sorted(rows, key=lambda row: -row.value) for _, rows in sorted(found.items())]
