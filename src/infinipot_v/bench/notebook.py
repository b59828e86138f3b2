"""Where a measure writes: each row is told and saved as soon as it is there, so a stopped run has lost nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infinipot_v.bench.rows import Result, Row, ratio, rounded


@dataclass(frozen=True)
class Notebook:
    """The pages of one part (`shape/measure`) of `result`; `told` is called with every row when it is in."""

    result: Result
    part: str
    told: Callable[[Row], None] = lambda row: None

    def row(self, what: str, values: Sequence[float], unit: str, note: str = "") -> Sequence[float]:
        """Write a row of repeated values, and return them."""
        self._add(Row.of(f"{self.part}/{what}", values, unit, note))
        return values

    def missing(self, what: str, unit: str, note: str) -> None:
        """Write a row without a figure, and why."""
        self._add(Row.missing(f"{self.part}/{what}", unit, note))

    def ratio(self, what: str, over: Sequence[float], under: Sequence[float]) -> None:
        """Write the ratio of two medians, if there is one."""
        value = ratio(over, under)
        if value is not None:
            self.result.ratios[f"{self.part}/{what}"] = value

    def series(self, what: str, values: Sequence[float]) -> None:
        """Keep figures along a stream, for the picture."""
        self.result.series[f"{self.part}/{what}"] = [rounded(value) for value in values]

    def _add(self, row: Row) -> None:
        self.result.rows.append(row)
        self.told(row)
