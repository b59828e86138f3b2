"""Pictures of a result: accuracy against memory, and the forgetting curve. Needs the extra `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.rows import DELAYED, DELAYS, Row, share
from infinipot_v.types import UserError

ALONE = ("full", "last-frames", "blind")
"""Contenders without a budget of their own: lines across the picture."""
COLOURS = {
    "infinipot-v": "#c2410c",
    "full": "#111827",
    "uniform": "#2563eb",
    "sliding-window": "#059669",
    "random": "#9333ea",
    "last-frames": "#6b7280",
    "blind": "#a8a29e",
    "infinipot-v-code": "#d97706",
}


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Write one PNG with both pictures. Raises `UserError` when matplotlib is missing."""
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("pictures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (memory, forgetting) = pyplot.subplots(1, 2, figsize=(13, 6), dpi=110)
    _accuracy_against_memory(memory, rows)
    _forgetting(forgetting, rows)
    figure.suptitle(title)
    figure.legend(*memory.get_legend_handles_labels(), loc="lower center", ncol=4, frameon=False)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(path)
    pyplot.close(figure)


def _accuracy_against_memory(axes: Any, rows: Sequence[Row]) -> None:
    chosen = [row for row in rows if (row.kind, row.delay) == ("all", DELAYED) and row.n]
    for policy in dict.fromkeys(row.policy for row in chosen):
        own = sorted((row for row in chosen if row.policy == policy), key=lambda row: row.budget_fraction)
        colour = COLOURS.get(policy)
        if policy in ALONE:
            axes.axhline(
                own[0].accuracy, color=colour, linestyle="--" if policy == "full" else ":", label=_name(own[0])
            )
            continue
        shares = [row.budget_fraction for row in own]
        axes.plot(shares, [row.accuracy for row in own], marker="o", color=colour, label=policy)
        axes.fill_between(shares, [row.low for row in own], [row.high for row in own], color=colour, alpha=0.12)
    fractions = sorted({row.budget_fraction for row in chosen if row.policy not in ALONE})
    axes.set_xscale("log", base=2)
    axes.set_xticks(fractions, [share(fraction) for fraction in fractions])
    axes.set_xlabel("memory, as a share of the full cache")
    _finish(axes, "questions about what is gone")


def _forgetting(axes: Any, rows: Sequence[Row]) -> None:
    smallest = _compared_share(rows)
    names = [name for _, _, name in DELAYS]
    for policy in dict.fromkeys(row.policy for row in rows):
        own = {
            row.delay: row
            for row in rows
            if row.policy == policy and row.kind == "all" and (policy in ALONE or row.budget_fraction == smallest)
        }
        points = [(index, own[name]) for index, name in enumerate(names) if name in own and own[name].n]
        if points:
            at, cells = zip(*points, strict=True)
            axes.plot(at, [row.accuracy for row in cells], marker="o", color=COLOURS.get(policy), label=_name(cells[0]))
            low, high = [row.low for row in cells], [row.high for row in cells]
            axes.fill_between(at, low, high, color=COLOURS.get(policy), alpha=0.1)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("time since the evidence left the picture")
    _finish(axes, f"forgetting, at {share(smallest)} of the memory")


def _compared_share(rows: Sequence[Row]) -> float:
    """1/16 where it was run, else the smallest share."""
    fractions = sorted({row.budget_fraction for row in rows if row.policy not in ALONE}) or [1.0]
    return 1 / 16 if 1 / 16 in fractions else fractions[0]


def _name(row: Row) -> str:
    return {"full": "full cache", "last-frames": "last 4 frames, no memory", "blind": "no video"}.get(
        row.policy, row.policy
    )


def _finish(axes: Any, title: str) -> None:
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy")
    axes.set_title(title)
    axes.grid(alpha=0.25)
