"""Pictures of a result, a panel a part that has one: memory, time of a step, a compaction, an answer. Needs `plot`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infinipot_v.bench.parts import PARTS
from infinipot_v.bench.rows import Result, Row
from infinipot_v.types import UserError

OURS = ("#c2410c", "#f59e0b", "#fcd34d")
COLOURS = {
    "one-shot-all-logits": "#6b7280", "one-shot-last-logits": "#9333ea", "chunked": "#2563eb", "full": "#111827",
    "broadcast": "#6b7280", "ours": OURS[0], "floor": "#059669",
}  # fmt: skip
NAMES = {
    "one-shot-all-logits": "one shot, all logits (Hugging Face)",
    "one-shot-last-logits": "one shot, last logits (Hugging Face)",
    "chunked": "full cache in chunks (Hugging Face)",
    "full": "full cache (ours)",
    "broadcast": "broadcast form",
    "ours": "ours",
    "floor": "copying what is kept",
}
PART_COLOURS = dict(zip(PARTS, ("#9333ea", "#059669", "#2563eb", "#111827", "#c2410c", "#d1d5db"), strict=True))
Rows = dict[str, Row]
Painter = Callable[[Any, str, Rows, Result], None]


def draw(result: Result, path: Path, title: str) -> None:
    """Write one PNG with all panels, or none where there is nothing to see. Raises `UserError` without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("pictures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [(part, rows, painter) for part, rows in _parts(result).items() for painter in _painters(part, rows)]
    if not panels:
        return
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(7.5 * columns, 5 * lines), dpi=110, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (part, rows, painter) in zip(grid.flat, panels, strict=False):
        painter(axes, part, rows, result)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _parts(result: Result) -> dict[str, Rows]:
    """Rows that have a figure or a reason, by part; names without the part. All layers of a compression are one."""
    parts: dict[str, Rows] = {}
    for row in result.rows:
        case, measure, *what = row.name.split("/")
        if measure.startswith(("float", "bfloat")):
            parts.setdefault(f"{case}/compress", {})["/".join((measure, *what))] = row
        elif what:
            parts.setdefault(f"{case}/{measure}", {})["/".join(what)] = row
    return parts


def _painters(part: str, rows: Rows) -> list[Painter]:
    found: dict[str, list[Painter]] = {
        "memory": [_memory], "stream": [_stream], "flat": [_flat], "compress": [_compress], "answer": [_first, _rate]
    }  # fmt: skip
    return found.get(part.split("/")[1], []) if any(row.median is not None for row in rows.values()) else []


def _memory(axes: Any, part: str, rows: Rows, result: Result) -> None:
    """Peaks against tokens seen, on top of what the process had taken before; where there was not enough, a cross."""
    names = list(dict.fromkeys(match[1] for name in rows if (match := re.fullmatch(r"([^/]+)/[^/]+/peak", name))))
    ours = [name for name in names if name.startswith("ours-")]
    peaks = {name: _peaks(rows, name) for name in names}
    stops = sorted({seen for points, missing in peaks.values() for seen in (*dict(points), *missing)})
    if len(stops) == 1:
        _one_length(axes, {name: dict(points).get(stops[0]) for name, (points, _) in peaks.items()}, stops[0])
        _finish(axes, part, result, legend=False)
        return
    top = 0.0
    for name, (points, missing) in peaks.items():
        colour, label = _colour(name, ours), _label(name)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=label)
            top = max(top, *(height for _, height in points))
        for seen in missing:
            axes.scatter([seen], [1.6 * top or 1.0], marker="x", s=60, color=colour, label=None if points else label)
            axes.annotate("out of memory", (seen, 1.6 * top or 1.0), fontsize=8, ha="center", va="bottom", color=colour,
                          xytext=(0, 5), textcoords="offset points")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(stops, [f"{seen:,}" for seen in stops])
    axes.minorticks_off()
    axes.set_xlabel("tokens seen")
    axes.set_ylabel("peak memory without weights, MiB")
    _finish(axes, part, result)


def _one_length(axes: Any, peaks: dict[str, float | None], seen: int) -> None:
    """A bar a contender, the smallest on top; None where there was not enough memory."""
    order = sorted(peaks, key=lambda name: peaks[name] or float("inf"), reverse=True)
    ours = [name for name in peaks if name.startswith("ours-")]
    heights = [peaks[name] or 0.0 for name in order]
    bars = axes.barh([_label(name) for name in order], heights, color=[_colour(name, ours) for name in order])
    axes.bar_label(bars, [_digits(height) if height else "out of memory" for height in heights], fontsize=9, padding=4)
    axes.margins(x=0.18)
    axes.set_xlabel(f"peak memory without weights after {seen:,} tokens, MiB")


def _label(name: str) -> str:
    return NAMES.get(name, name.replace("ours-", "ours, |M| = "))


def _colour(name: str, ours: list[str]) -> str | None:
    return OURS[ours.index(name) % len(OURS)] if name in ours else COLOURS.get(name)


def _peaks(rows: Rows, name: str) -> tuple[list[tuple[int, float]], list[int]]:
    """(tokens seen, MiB) of a contender, and where it ran out of memory."""
    before = rows.get(f"{name}/before") or rows.get("weights")
    base = before.median if before and before.median else 0.0
    points, missing = [], []
    for what, row in rows.items():
        if match := re.fullmatch(rf"{re.escape(name)}/(\d+)(K?)/peak", what):
            seen = int(match[1]) * (1000 if match[2] else 1)
            if row.median is None:
                missing.append(seen)
            else:
                points.append((seen, max(row.median - base, 1.0) / 2**20))
    return points, missing


def _stream(axes: Any, part: str, rows: Rows, result: Result) -> None:
    """Milliseconds of every block, its parts on each other."""
    series = {name: result.series[f"{part}/{name}"] for name in PARTS if f"{part}/{name}" in result.series}
    bottom = [0.0] * len(next(iter(series.values()), []))
    whole = sum(map(sum, series.values())) or 1.0
    for name, values in series.items():
        label = f"{name}, {sum(values) / whole:.1%}"
        axes.bar(range(len(values)), values, bottom=bottom, width=1.0, color=PART_COLOURS[name], label=label)
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    middle = rows.get("all")
    if middle and middle.median:
        axes.axhline(middle.median, color="#111827", linestyle=":", label=f"median {_digits(middle.median)} ms")
    axes.set_xlabel("blocks of the stream, memory full" if result.settings["sizes"]["block"] > 1 else
                    "steps of the stream, memory full")  # fmt: skip
    axes.set_ylabel("milliseconds a step")
    _finish(axes, part, result)


def _flat(axes: Any, part: str, rows: Rows, result: Result) -> None:
    """Milliseconds a step, early and late."""
    names = sorted((name for name in rows if re.fullmatch(r"step-\d+", name)), key=lambda name: int(name[5:]))
    for place, name in enumerate(names):
        height = _figure(rows, name)
        bar = axes.bar([place], [height], width=0.5, color=OURS[place], yerr=(rows[name].spread or 0) / 2, capsize=4)
        axes.bar_label(bar, [_digits(height)], fontsize=9, padding=2)
    axes.set_xticks(range(len(names)), [f"at step {int(name[5:]):,}" for name in names])
    axes.set_ylabel("milliseconds a step, memory full")
    _finish(axes, part, result, legend=False)


def _compress(axes: Any, part: str, rows: Rows, result: Result) -> None:
    """Three bars a setting."""
    settings = list(dict.fromkeys(name.split("/")[0] for name in rows))
    for place, what in enumerate(("broadcast", "ours", "floor")):
        heights = [_figure(rows, f"{setting}/{what}") for setting in settings]
        at = [index + 0.27 * (place - 1) for index in range(len(settings))]
        bars = axes.bar(at, heights, width=0.27, color=COLOURS[what], label=NAMES[what])
        axes.bar_label(bars, [_digits(height) for height in heights], fontsize=8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=min((row.median for row in rows.values() if row.median), default=1.0) / 3)
    axes.set_xticks(range(len(settings)), [setting.replace(", ", "\n") for setting in settings], fontsize=8)
    axes.set_ylabel("milliseconds a compaction, one layer")
    _finish(axes, part, result)


def _first(axes: Any, part: str, rows: Rows, result: Result) -> None:
    _bars(axes, rows, "first-token", "milliseconds to the first token")
    _finish(axes, part, result, legend=False)


def _rate(axes: Any, part: str, rows: Rows, result: Result) -> None:
    _bars(axes, rows, "tokens-per-second", "tokens a second behind it")
    _finish(axes, part, result, legend=False)


def _bars(axes: Any, rows: Rows, what: str, label: str) -> None:
    names = [name.removesuffix(f"/{what}") for name in rows if name.endswith(f"/{what}")]
    ours = [name for name in names if name.startswith("ours-")]
    for place, name in enumerate(names):
        height, row = _figure(rows, f"{name}/{what}"), rows[f"{name}/{what}"]
        bar = axes.bar([place], [height], width=0.6, color=_colour(name, ours), yerr=(row.spread or 0) / 2, capsize=4)
        axes.bar_label(bar, [_digits(height) if height else row.note], fontsize=9, padding=2)
    shown = [_label(name).replace("ours, ", "ours,\n").replace(" (", "\n(") for name in names]
    axes.set_xticks(range(len(names)), shown, fontsize=8)
    axes.set_ylabel(label)


def _digits(value: float) -> str:
    """Three digits, never a power of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _figure(rows: Rows, name: str) -> float:
    row = rows.get(name)
    return row.median if row and row.median is not None else 0.0


def _finish(axes: Any, part: str, result: Result, legend: bool = True) -> None:
    layers = (result.settings["shapes"].get(part.split("/")[0]) or {}).get("layers")
    axes.set_title(part.replace("/", ": ") + (f" ({layers} layer{'s' if layers > 1 else ''})" if layers else ""))
    axes.grid(alpha=0.25, axis="y")
    axes.set_axisbelow(True)
    if legend:
        axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=3)
