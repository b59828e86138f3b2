"""What a benchmark writes down: rows, ratios and settings, as JSON and as Markdown. Knows nothing of what is measured.

The JSON form is `{"rows": [{"name", "median", "spread", "unit", ...}], "ratios": {...}, "settings": {...}, ...}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infinipot_v.bench.timing import median_and_spread
from infinipot_v.types import UserError

MEBI = 2**20


@dataclass(frozen=True)
class Row:
    """One figure. `name` is `shape/measure/what`; `spread` is the interquartile range of `n` values, None for one.

    `median` is None where there is no figure; `note` then says why.
    """

    name: str
    median: float | None
    spread: float | None
    unit: str
    n: int = 1
    note: str = ""

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str, note: str = "") -> Row:
        """The row of repeated values. Infinities and NaN are no figures, and are said in the note."""
        if not all(math.isfinite(value) for value in values):
            return cls(name, None, None, unit, len(values), "; ".join(filter(None, (note, "not finite"))))
        median, spread = median_and_spread(values)
        return cls(name, rounded(median), rounded(spread) if len(values) > 1 else None, unit, len(values), note)

    @classmethod
    def missing(cls, name: str, unit: str, note: str) -> Row:
        """A row without a figure."""
        return cls(name, None, None, unit, 0, note)

    @property
    def text(self) -> str:
        """One line for a person."""
        return f"{self.name:<62} {self.figure}{f'   ({self.note})' if self.note else ''}"

    @property
    def figure(self) -> str:
        """`31.2 ms, spread 0.4`; bytes in MiB; a dash where there is none."""
        if self.median is None:
            return "-"
        spread = "" if self.spread is None else f", spread {_shown(self.spread, self.unit)}"
        unit = "MiB" if self.unit == "B" else self.unit
        return f"{_shown(self.median, self.unit)} {unit}{spread}".rstrip()


@dataclass
class Result:
    """All that one benchmark has found so far.

    `done` names the parts that are complete; `unfinished` says of others why they are not. `series` are figures along
    a stream, by part and name, which the pictures are drawn from.
    """

    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    unfinished: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, Any]:
        """Plain data, ready for `json.dumps`."""
        return asdict(self)

    def forget(self, part: str) -> None:
        """Drop all rows, ratios and series of a part, before it is measured again."""
        self.rows = [row for row in self.rows if not _within(row.name, part)]
        self.ratios = {name: value for name, value in self.ratios.items() if not _within(name, part)}
        self.series = {name: value for name, value in self.series.items() if not _within(name, part)}
        self.unfinished.pop(part, None)

    def markdown(self, title: str) -> str:
        """A heading, the ratios, and one table a part."""
        lines = [f"# {title}", ""]
        if self.ratios:
            lines += ["| ratio | value |", "|---|---|"]
            lines += [f"| {name} | {value:.4g} |" for name, value in self.ratios.items()] + [""]
        for part, rows in self._parts():
            lines += [f"## {part}", "", "| what | figure | spread | n | note |", "|---|---|---|---|---|"]
            lines += [_line(row, part) for row in rows] + [""]
        lines += [f"- {part}: {why}" for part, why in self.unfinished.items()]
        return "\n".join(lines).rstrip() + "\n"

    def _parts(self) -> Iterator[tuple[str, list[Row]]]:
        parts: dict[str, list[Row]] = {}
        for row in self.rows:
            parts.setdefault("/".join(row.name.split("/")[:2]), []).append(row)
        yield from parts.items()

    def write(self, folder: Path, stem: str, title: str) -> None:
        """Write `stem`.json and `stem`.md; a reader never finds half a file."""
        folder.mkdir(parents=True, exist_ok=True)
        contents = {".json": json.dumps(self.as_json, indent=1) + "\n", ".md": self.markdown(title)}
        for suffix, content in contents.items():
            fresh = folder / f"{stem}{suffix}.new"
            fresh.write_text(content, encoding="utf-8")
            fresh.replace(folder / f"{stem}{suffix}")

    @classmethod
    def read(cls, path: Path) -> Result:
        """What `write` wrote. Raises `UserError` for a file that is something else."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            rows = [Row(**row) for row in found.pop("rows")]
            return cls(rows=rows, **found)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} holds no results of a benchmark: remove it, or name another folder") from error


def ratio(over: Sequence[float], under: Sequence[float]) -> float | None:
    """The ratio of two medians; None where there is none."""
    if not over or not under or not all(math.isfinite(value) for value in (*over, *under)):
        return None
    bottom = median_and_spread(under)[0]
    return None if bottom == 0 else rounded(median_and_spread(over)[0] / bottom)


def same_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of settings that differ, those of single shapes aside; as JSON has them."""
    plain = [json.loads(json.dumps({**settings, "shapes": None})) for settings in (one, other)]
    return sorted(name for name in plain[0].keys() | plain[1].keys() if plain[0].get(name) != plain[1].get(name))


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}/")


def _line(row: Row, part: str) -> str:
    figure, _, spread = row.figure.partition(", spread ")
    return f"| {row.name.removeprefix(part).lstrip('/') or '-'} | {figure} | {spread} | {row.n} | {row.note} |"


def _shown(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value / MEBI:,.1f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def rounded(value: float) -> float:
    """Six digits: no timer and no allocator knows more. Whole numbers stay as they are."""
    return value if float(value).is_integer() else float(f"{value:.6g}")
