"""One picture of a day: what the memory weighs, and what it still knows. Needs the extra `plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infinipot_v.evaluate.day.questions import DELAYS
from infinipot_v.evaluate.day.summary import NAMES, spoken
from infinipot_v.types import UserError

STYLES = {  # colour, marker, line, label
    "infinipot-v": ("#c2410c", "o", "-", "InfiniPot-V"),
    "uniform": ("#2563eb", "s", "--", "uniform"),
    "last-frames": ("#111827", "^", "-.", "last 4 frames only"),
    "blind": ("#9ca3af", "x", ":", "no video at all"),
}


def draw(found: dict[str, Any], told: dict[str, Any], path: Path) -> None:
    """Write the PNG. Raises `UserError` without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("pictures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (memory, answers) = pyplot.subplots(1, 2, figsize=(12, 5), dpi=120)
    _memory(memory, found, told)
    _answers(answers, told)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _memory(axes: Any, found: dict[str, Any], told: dict[str, Any]) -> None:
    """Bytes of keys and values over the hours; where the growing cache failed, a cross."""
    scale = told["settings"]["layers_of_model"] / told["settings"]["layers"]
    growing = [(p["seconds"] / 3600, scale * p["nbytes"] / 1e9) for p in found["growing"] if p["nbytes"]]
    ours = [(p["seconds"] / 3600, scale * p["nbytes"] / 1e9) for p in found["capped"]]
    axes.plot(*zip(*ours, strict=True), color=STYLES["infinipot-v"][0], linewidth=2.5)
    axes.plot(*zip(*growing, strict=True), color=STYLES["last-frames"][0], linewidth=1.8, linestyle="--")
    axes.scatter(*growing[-1], marker="x", s=90, color=STYLES["last-frames"][0], zorder=3)
    hours, level = told["memory"]["growing_failed_seconds"], ours[-1][1]
    if hours is not None:
        note = f"full cache: out of memory\nafter {hours / 3600:.1f} h (GPU of 80 GB)"
        axes.annotate(note, growing[-1], xytext=(14, -8), textcoords="offset points", fontsize=10, va="center")
    note = f"InfiniPot-V: {level:.2f} GB, from the first minute to the last"
    axes.annotate(note, ours[-1], xytext=(0, 10), textcoords="offset points", fontsize=10, ha="right",
                  color=STYLES["infinipot-v"][0])  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(level / 4, 150)
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axes.set_xticks(range(0, round(ours[-1][0]) + 1, max(1, round(ours[-1][0]) // 6)))
    axes.set_xlabel("hours of video, one frame a second")
    axes.set_ylabel("GB of KV cache, shape of a 7B model")
    axes.set_title("Memory (random keys and values)")
    axes.grid(alpha=0.25)


def _answers(axes: Any, told: dict[str, Any]) -> None:
    """Accuracy against delay, with intervals."""
    for name in NAMES:
        rows = [row for row in told["rows"] if row["contender"] == name and row["n"]]
        if not rows:
            continue
        colour, marker, line, label = STYLES[name]
        at, heights = [row["delay"] for row in rows], [100 * row["accuracy"] for row in rows]
        spread = [[100 * (row["accuracy"] - row["low"]) for row in rows],
                  [100 * (row["high"] - row["accuracy"]) for row in rows]]  # fmt: skip
        axes.errorbar(at, heights, yerr=spread, color=colour, marker=marker, linestyle=line, capsize=3, label=label)
    axes.set_xscale("log")
    axes.set_xticks(DELAYS, [spoken(delay) for delay in DELAYS])
    axes.minorticks_off()
    axes.set_ylim(0, 103)
    axes.set_xlabel("time since it left the picture")
    axes.set_ylabel("questions answered right, %")
    axes.set_title("What it still knows (the embedded pocket model)")
    axes.legend(frameon=False, loc="lower left", fontsize=9, ncol=2)
    axes.grid(alpha=0.25)
