"""Two pictures of the experiments: methods against memory beside what each part is worth, and the sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.experiments.base import ALONE, OURS, Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.figures import COLOURS
from infinipot_v.evaluate.rows import share
from infinipot_v.types import UserError

HIGHLIGHT, GREY = COLOURS[OURS], "#6b7280"
PALETTE = ("#2563eb", "#059669", "#9333ea", "#0891b2", "#db2777", "#65a30d", "#7c3aed", "#0d9488", "#4b5563", "#b45309")
NAMES = {"full": "full cache", "last-frames": "last 4 frames", "blind": "no video"}
GAP = 4.0
"""Points of accuracy between two names at the right edge."""
Panel = Callable[[Any, Experiment, Sequence[Arm], Results], None]


def draw(experiments: Sequence[Experiment], scale: Scale, results: Results, folder: Path) -> None:
    """Write ablations-methods.png and ablations-sweeps.png. Raises `UserError` when matplotlib is missing."""
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("pictures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    own = {experiment.name: (experiment, experiment.arms(scale, results)) for experiment in experiments}
    _figure(own, {"methods": _methods, "ablation": _forest}, results, folder / "ablations-methods.png", (15, 6.5))
    sweeps: dict[str, Panel] = {"alpha": _sweep, "recent": _sweep, "keep": _sweep}
    _figure(own, sweeps, results, folder / "ablations-sweeps.png", (15, 4.6))


def _figure(
    own: dict[str, Any], panels: dict[str, Panel], results: Results, path: Path, size: tuple[float, float]
) -> None:
    from matplotlib import pyplot

    shown = {name: panel for name, panel in panels.items() if name in own}
    if not shown:
        return
    figure, axes = pyplot.subplots(1, len(shown), figsize=size, dpi=110, squeeze=False)
    for place, (name, panel) in zip(axes[0], shown.items(), strict=True):
        experiment, arms = own[name]
        place.set_title(experiment.title)
        panel(place, experiment, arms, results)
    figure.suptitle("Questions about what has left the picture; bars are 95 % intervals", y=0.99)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _methods(axes: Any, experiment: Experiment, arms: Sequence[Arm], results: Results) -> None:
    """A line a method, its name at the right end; controls across the picture."""
    ends: list[tuple[float, str, str]] = []
    shares = sorted({float(arm.share) for arm in arms if arm.label not in ALONE})
    for index, label in enumerate(dict.fromkeys(arm.label for arm in arms)):
        own = sorted((arm for arm in arms if arm.label == label), key=lambda arm: arm.share)
        scores = [100 * results.score(arm).accuracy for arm in own]
        colour = HIGHLIGHT if label == OURS else GREY if label in ALONE else PALETTE[index % len(PALETTE)]
        if label in ALONE:
            axes.plot([shares[0], shares[-1] * 1.08], scores * 2, ":", color=colour, linewidth=1)
        else:
            width, order = (3.0, 5) if label == OURS else (1.4, 3)
            axes.plot([float(a.share) for a in own], scores, "o-", color=colour, linewidth=width, zorder=order)
        ends.append((scores[-1], NAMES.get(label, label), colour))
    axes.set_xscale("log", base=2)
    axes.set_xticks(shares, [share(fraction) for fraction in shares])
    axes.set_xlim(shares[0] / 1.1, shares[-1] * 2.4)
    axes.minorticks_off()
    _names(axes, ends, shares[-1] * 1.12)
    axes.set_xlabel("memory, as a share of the full cache")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.2)


def _names(axes: Any, ends: list[tuple[float, str, str]], x: float) -> None:
    """Write names at their heights, pushed apart where they would overlap, highest first."""
    height = 200.0
    for accuracy, name, colour in sorted(ends, reverse=True):
        height = min(accuracy, height - GAP)
        weight = "bold" if name == OURS else "normal"
        axes.text(x, height, f"{name}  {accuracy:.0f}", color=colour, va="center", fontsize=9, weight=weight)
    axes.set_ylim(min(0.0, height - GAP), 103)


def _forest(axes: Any, experiment: Experiment, arms: Sequence[Arm], results: Results) -> None:
    """A row an arm, in the experiment's order from the top."""
    for row, arm in enumerate(arms):
        score = results.score(arm)
        colour = HIGHLIGHT if arm.label == experiment.baseline else "#374151"
        axes.plot([100 * score.low, 100 * score.high], [row, row], color=colour, linewidth=2)
        axes.plot(100 * score.accuracy, row, "o", color=colour, markersize=8)
        axes.annotate(
            f"{100 * score.accuracy:.1f}", (100 * score.accuracy, row), (0, 7), textcoords="offset points", ha="center"
        )
    axes.set_yticks(range(len(arms)), [arm.label for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.7)
    axes.set_xlabel("accuracy, %")
    axes.grid(axis="x", alpha=0.2)


def _sweep(axes: Any, experiment: Experiment, arms: Sequence[Arm], results: Results) -> None:
    """A point a value; the default in colour."""
    for column, arm in enumerate(arms):
        score = results.score(arm)
        colour = HIGHLIGHT if arm.label == experiment.baseline else "#374151"
        axes.plot([column, column], [100 * score.low, 100 * score.high], color=colour, linewidth=2)
        axes.plot(column, 100 * score.accuracy, "o", color=colour, markersize=8)
        axes.annotate(
            f"{100 * score.accuracy:.1f}",
            (column, 100 * score.accuracy),
            (9, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xticks(range(len(arms)), [arm.label.replace(" (default)", "\n(default)") for arm in arms])
    axes.set_xlim(-0.5, len(arms) - 0.2)
    axes.set_ylim(min(axes.get_ylim()[0], 70), 101.5)
    axes.set_ylabel("accuracy, %")
    axes.grid(axis="y", alpha=0.2)
