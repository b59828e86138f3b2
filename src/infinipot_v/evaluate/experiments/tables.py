"""How experiments are laid out: a list against a baseline, a grid of labels x conditions, a pair by condition."""

from __future__ import annotations

from collections.abc import Sequence

from infinipot_v.evaluate.experiments.base import GONE, Arm, Cut, Results, Score, Table, Tables
from infinipot_v.evaluate.statistics import Difference

NOBODY = "-"


def accuracy(score: Score) -> str:
    """`90.2 (87-93)`: per cent, with the 95 % interval."""
    if score.n == 0:
        return NOBODY
    return f"{100 * score.accuracy:.1f} ({100 * score.low:.0f}-{100 * score.high:.0f})"


def points(difference: Difference) -> str:
    """`+1.4 (-0.6 to +3.5)`: percentage points, with the 95 % interval where there is one."""
    if difference.n == 0:
        return NOBODY
    if difference.items < 2:
        return f"{100 * difference.difference:+.1f}"
    return f"{100 * difference.difference:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def counted(arms: Sequence[Arm], results: Results, cut: Cut = GONE) -> str:
    """How many questions and streams stand behind the numbers."""
    n = max((results.score(arm, cut).n for arm in arms), default=0)
    streams = max((len({record.item for record in results.records(arm, cut)}) for arm in arms), default=0)
    return f"n = {n} questions about what is gone, {streams} stream{'s' if streams != 1 else ''}"


def listing(first: str, baseline: str, short: str = "") -> Tables:
    """A line an arm: accuracy, and what it has more or less than `baseline` (`short`, in the head of the column)."""

    def tables(arms: Sequence[Arm], results: Results) -> Sequence[Table]:
        base = next(arm for arm in arms if arm.label == baseline)
        lines = [
            (
                arm.label,
                str(results.held(arm)),
                accuracy(results.score(arm)),
                NOBODY if arm is base else points(results.difference(arm, base)),
            )
            for arm in arms
        ]
        head = (first, "tokens held", "accuracy, %", f"against {short or baseline}, points")
        return [Table(head, lines, counted(arms, results) + ".")]

    return tables


def grid(first: str) -> Tables:
    """A line a label, a column a condition; an arm without a condition stands in every column."""

    def tables(arms: Sequence[Arm], results: Results) -> Sequence[Table]:
        conditions = list(dict.fromkeys(arm.condition for arm in arms if arm.condition))
        lines = []
        for label in dict.fromkeys(arm.label for arm in arms):
            own = {arm.condition: accuracy(results.score(arm)) for arm in arms if arm.label == label}
            lines.append((label, *(own.get(condition, own.get("", NOBODY)) for condition in conditions)))
        return [Table((first, *conditions), lines, counted(arms, results) + ".")]

    return tables


def pairs(first: str, a: str, b: str, *beside: str) -> Tables:
    """A line a condition: the accuracies of `beside`, `a` and `b`, and what `a` has more than `b`."""

    def tables(arms: Sequence[Arm], results: Results) -> Sequence[Table]:
        lines = []
        for condition in dict.fromkeys(arm.condition for arm in arms):
            own = {arm.label: arm for arm in arms if arm.condition == condition}
            scores = [results.score(own[label]) for label in (*beside, a, b)]
            difference = points(results.difference(own[a], own[b]))
            lines.append((condition, *(accuracy(score) for score in scores), difference, str(scores[-1].n)))
        return [Table((first, *beside, a, b, "difference, points", "n"), lines)]

    return tables


def markdown(table: Table) -> str:
    """A Markdown table whose columns also line up as plain text."""
    rows = [table.head, *table.lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    rule = ["-" * width for width in widths]
    text = "\n".join(f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:])) + "\n"
    return f"{text}\n{table.note}\n" if table.note else text
