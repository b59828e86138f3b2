"""Rows of a result: accuracy of every contender, over all questions, by kind and by delay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from infinipot_v.evaluate.records import Record
from infinipot_v.evaluate.statistics import wilson

DELAYS = ((0, 0, "visible"), (0, 16, "1-16 s"), (16, 64, "17-64 s"), (64, float("inf"), "over 64 s"))
"""Bins of the time since the evidence left the picture: above the first number, up to the second."""
DELAYED = "delayed"
"""All questions whose evidence is gone."""


@dataclass(frozen=True)
class Row:
    """`kind` and `delay` are `all` or one of theirs; the interval [low, high] is Wilson's at 95 %.

    Of an absolute `budget`, `budget_fraction` is what it was of the full cache, on average over questions.
    """

    policy: str
    budget_fraction: float
    kind: str
    delay: str
    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    held_tokens: int
    nbytes: int
    budget: str = ""

    @property
    def contender(self) -> tuple[str, float | str]:
        """Policy and limit, which tell contenders apart."""
        return self.policy, self.budget or self.budget_fraction

    @property
    def limit(self) -> str:
        """What it might hold, as people say it: 1/16, 6144, 512MiB."""
        return self.budget or share(self.budget_fraction)


def delay_bin(delay: float) -> str:
    """The bin of a delay in seconds."""
    if delay <= 0:
        return "visible"
    return next(name for low, high, name in DELAYS[1:] if low < delay <= high)


Cut = tuple[str, str, Callable[[Record], bool]]
"""A row's kind and delay, and which records it counts."""


def by_delay(records: Sequence[Record]) -> Iterable[Cut]:
    """Everything, what is gone, every kind, and every bin of delay."""
    yield "all", "all", lambda r: True
    yield "all", DELAYED, lambda r: r.delay > 0
    for kind in dict.fromkeys(r.kind for r in records):
        yield kind, "all", lambda r, kind=kind: r.kind == kind  # type: ignore[misc]
    for _, _, name in DELAYS:
        yield "all", name, lambda r, name=name: delay_bin(r.delay) == name  # type: ignore[misc]


def by_group(records: Sequence[Record]) -> Iterable[Cut]:
    """Everything, every group, and every kind: of benchmarks that do not say where the evidence was."""
    yield "all", "all", lambda r: True
    for group in dict.fromkeys(r.group for r in records if r.group):
        yield group, "all", lambda r, group=group: r.group == group  # type: ignore[misc]
    for kind in dict.fromkeys(r.kind for r in records if r.kind != r.group):
        yield kind, "all", lambda r, kind=kind: r.kind == kind  # type: ignore[misc]


def rows_of(records: Sequence[Record], cuts: Callable[[Sequence[Record]], Iterable[Cut]] = by_delay) -> list[Row]:
    """All rows of a result: larger shares first, then contenders in the order in which they first appear."""
    rows = []
    contenders: dict[tuple[str, float | str], list[Record]] = {}
    for record in records:
        contenders.setdefault((record.policy, record.limit), []).append(record)
    shares = {key: sum(r.budget_fraction for r in own) / len(own) for key, own in contenders.items()}
    for key in sorted(contenders, key=lambda key: -shares[key]):
        own = contenders[key]
        rows += [_row(own, shares[key], kind, delay, chosen) for kind, delay, chosen in cuts(own)]
    return rows


def _row(records: Sequence[Record], fraction: float, kind: str, delay: str, chosen: Callable[[Record], bool]) -> Row:
    own = [r for r in records if chosen(r)]
    right, n = sum(r.correct for r in own), len(own)
    low, high = wilson(right, n)
    held, nbytes = (max((getattr(r, name) for r in own), default=0) for name in ("held_tokens", "nbytes"))
    accuracy = right / n if n else 0.0
    policy, budget = records[0].policy, records[0].budget
    return Row(policy, fraction, kind, delay, n, right, accuracy, low, high, held, nbytes, budget)


def as_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Rows as plain dictionaries, shares rounded to four digits."""
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows]


def markdown(rows: Sequence[Row]) -> str:
    """One table: a line a contender, its accuracy over all, over delayed questions, by kind and by delay."""
    cuts = list(dict.fromkeys((row.kind, row.delay) for row in rows))
    head = [kind if kind != "all" else delay for kind, delay in cuts]
    lines = [f"| policy | budget | tokens held | {' | '.join(head)} |", f"|---|---|---|{'---|' * len(head)}"]
    for contender in dict.fromkeys(row.contender for row in rows):
        own = {(row.kind, row.delay): row for row in rows if row.contender == contender}
        whole, cells = own["all", "all"], [_cell(own.get(cut)) for cut in cuts]
        lines.append(f"| {whole.policy} | {whole.limit} | {whole.held_tokens} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def narrow(rows: Sequence[Row]) -> str:
    """The same in five columns, for a terminal: accuracy over delayed and over all questions."""
    lines: list[tuple[str, ...]] = [("policy", "budget", "tokens", "delayed, %", "all, %")]
    for policy, fraction in dict.fromkeys((row.policy, row.budget_fraction) for row in rows):
        own = {
            row.delay: row for row in rows if (row.policy, row.budget_fraction, row.kind) == (policy, fraction, "all")
        }
        cells = (_percent(own.get(cut)) for cut in (DELAYED, "all"))
        lines.append((policy, share(fraction), f"{own['all'].held_tokens}", *cells))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    counts = {row.delay: row.n for row in rows if row.kind == "all"}
    return "\n".join((*padded, "", f"n = {counts.get(DELAYED, 0)} and {counts['all']}; intervals are 95 %.")) + "\n"


def _percent(row: Row | None) -> str:
    if row is None or row.n == 0:
        return "-"
    return f"{100 * row.accuracy:.1f} ({100 * row.low:.0f}-{100 * row.high:.0f})"


def share(fraction: float) -> str:
    """A share as people say it: 1, 1/16."""
    return "1" if fraction == 1 else f"1/{round(1 / fraction)}"


def _cell(row: Row | None) -> str:
    return "-" if row is None or row.n == 0 else f"{_percent(row)}, n {row.n}"
