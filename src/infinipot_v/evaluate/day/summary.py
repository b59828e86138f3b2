"""What a day has shown, in figures: rows by delay, and whether anything has grown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from infinipot_v.evaluate.day.keys import BUDGET, LAYERS_OF_MODEL
from infinipot_v.evaluate.day.questions import DELAYS, LATE
from infinipot_v.evaluate.day.running import MEMORY_STEPS, Scale, answers_of
from infinipot_v.evaluate.day.watching import BLIND, CONTENDERS
from infinipot_v.evaluate.statistics import wilson

NAMES = (*CONTENDERS, BLIND)


def rows_of(days: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy of every contender at every delay, with Wilson's 95 % interval over questions."""
    return [_row(answers_of(days, name), name, delay) for name in NAMES for delay in DELAYS]


def _row(answers: Sequence[dict[str, Any]], name: str, delay: int) -> dict[str, Any]:
    own = [answer for answer in answers if binned(answer["delay"]) == delay]
    right, n = sum(answer["correct"] for answer in own), len(own)
    low, high = (round(end, 4) for end in wilson(right, n))
    accuracy = round(right / n, 4) if n else None
    return {"contender": name, "delay": delay, "n": n, "correct": right, "accuracy": accuracy, "low": low, "high": high}


def binned(delay: float) -> int:
    """The delay that was wished for: a question may have waited a little for a moment at which nothing is half seen."""
    return max(wished for wished in DELAYS if wished <= delay or wished == DELAYS[0])


def summary(found: dict[str, Any], scale: Scale) -> dict[str, Any]:
    """`rows`, `memory` and `settings`, ready for JSON."""
    capped, growing, days = found["capped"], found["growing"], found["days"]
    failed = next((point["seconds"] for point in growing if not point["nbytes"]), None)
    return {
        "rows": rows_of(days),
        "memory": {
            "capped_bytes": [min(p["nbytes"] for p in capped), max(p["nbytes"] for p in capped)],
            "capped_resident": [capped[len(capped) // 10]["resident"], capped[-1]["resident"]],
            "growing_failed_seconds": failed,
            "growing_bytes_before": max(p["nbytes"] for p in growing),
        },
        "days": [
            {"seed": day["seed"], "things": day["things"], **_flat(day["weights"]), **day["reopened"]} for day in days
        ],
        "settings": {**asdict(scale), "limit": scale.limit, "layers_of_model": LAYERS_OF_MODEL,
                     "keys_budget": BUDGET, "memory_steps": MEMORY_STEPS, "late_steps": LATE},
    }  # fmt: skip


def _flat(weights: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the process held when a tenth of the day had been watched, and at its end."""
    early, late = weights[max(1, len(weights) // 10)], weights[-1]
    return {name: [early[name], late[name]] for name in ("nbytes", "resident", "files", "threads")}


def markdown(told: dict[str, Any]) -> str:
    """The tables."""
    names = [spoken(delay) for delay in DELAYS]
    lines = [
        "# A day",
        "",
        "Accuracy by time since the evidence left the picture, % (95 % interval); embedded model.",
        "",
    ]
    lines += [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for contender in NAMES:
        cells = [_cell(row) for row in told["rows"] if row["contender"] == contender]
        lines.append(f"| {contender} | {' | '.join(cells)} |")
    counts = [str(row["n"]) for row in told["rows"] if row["contender"] == NAMES[0]]
    return "\n".join([*lines, f"| n | {' | '.join(counts)} |", "", *map(_told, told["days"]), "", _keys(told)]) + "\n"


def _told(day: dict[str, Any]) -> str:
    early, late = day["resident"]
    same = "all as before" if day["same_answers"] else "NOT all as before"
    return (
        f"- Seed {day['seed']}, {day['things']} things: the memory's file has {day['file_bytes']:,} bytes and opens in "
        f"{day['open_seconds']:.2f} s; {day['correct']} of {day['n']} questions at the day's end are answered right "
        f"from it in a new process, {same}. Resident at a tenth of the day {early:,} bytes, at its end {late:,}; open "
        f"files {day['files'][0]} and {day['files'][1]}, threads {day['threads'][0]} and {day['threads'][1]}."
    )


def _keys(told: dict[str, Any]) -> str:
    settings, memory = told["settings"], told["memory"]
    failed = memory["growing_failed_seconds"]
    end = "did not fail" if failed is None else f"failed after {failed / 3600:.1f} h"
    return (
        f"Keys and values of {settings['layers']} of {settings['layers_of_model']} layers of a 7B shape: ours "
        f"{memory['capped_bytes'][0]:,} bytes at least and {memory['capped_bytes'][1]:,} at most; the growing cache "
        f"{end}, at {memory['growing_bytes_before']:,} bytes."
    )


def _cell(row: dict[str, Any]) -> str:
    if not row["n"]:
        return "-"
    return f"{100 * row['accuracy']:.0f} ({100 * row['low']:.0f}-{100 * row['high']:.0f})"


def spoken(seconds: int) -> str:
    """A delay as people say it: 4 s, 1 min, 16 h."""
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"
