"""What a run came to: rows, the official averages, what was left out, and what watching once has saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple
from statistics import median
from typing import Any

from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.records import Left, Record
from infinipot_v.evaluate.rows import Row, as_json, by_group, markdown, rows_of, share
from infinipot_v.evaluate.watchers import REFUSED

Contenders = dict[tuple[str, float | str], list[Record]]


def by_contender(records: Iterable[Record]) -> Contenders:
    """Records by policy and limit, in order of appearance."""
    found: Contenders = {}
    for record in records:
        found.setdefault((record.policy, record.limit), []).append(record)
    return found


def rows(records: Sequence[Record]) -> list[Row]:
    """Accuracy of everybody: in all, by group, by kind."""
    return rows_of(records, by_group)


def summary(
    benchmark: type[FieldBenchmark], records: Sequence[Record], left: Sequence[Left], settings: dict[str, Any]
) -> dict[str, Any]:
    """Everything, JSON-able. Only `speed` depends on how and in which order videos were watched."""
    records = in_order(records)
    taking_part = by_contender(records)
    return {
        "rows": as_json(rows(records)),
        "official": [
            {"policy": policy, "budget": limit_of(own[0]), **rounded(benchmark.official(own))}
            for (policy, _), own in taking_part.items()
        ],
        "cost": [_cost(own) for own in taking_part.values()],
        "speed": [_speed(own) for own in taking_part.values()],
        "damaged": sorted({record.damage for record in records if record.damage}),
        "left_out": [asdict(one) for one in sorted(set(left), key=astuple)],
        "watched": watched(taking_part),
        "settings": settings,
    }


def limit_of(record: Record) -> str:
    """What a contender might hold, as people say it: 6144, 512MiB, 1/16."""
    return record.budget or share(record.budget_fraction)


def in_order(records: Iterable[Record]) -> list[Record]:
    """Records in an order that does not depend on how they came to be."""
    return sorted(records, key=lambda record: (record.policy, f"{record.limit}", record.item, record.index))


def rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    """To two digits, as papers print them."""
    return {name: None if value is None else round(value, 2) for name, value in values.items()}


def _cost(records: Sequence[Record]) -> dict[str, Any]:
    """Memory, and replies that say nothing. Held tokens are those at the questions, between |C| and |M|."""
    held = [record.held_tokens for record in records]
    return {
        "policy": records[0].policy,
        "budget": limit_of(records[0]),
        "unparsed": sum(not record.parsed for record in records),
        "refused": sum(record.finish == REFUSED for record in records),
        "held_tokens": [min(held), median(held), max(held)],
        "seen_tokens": max(record.seen_tokens for record in records),
        "nbytes": max(record.nbytes for record in records),
    }


def _speed(records: Sequence[Record]) -> dict[str, Any]:
    ends = {record.item: record for record in sorted(records, key=lambda record: record.frames)}
    seconds = sum(record.watching_seconds for record in ends.values())
    return {
        "policy": records[0].policy,
        "budget": limit_of(records[0]),
        "first_token_seconds": median(record.first_token_seconds for record in records),
        "frames_per_second": round(sum(record.frames for record in ends.values()) / seconds, 2) if seconds else None,
    }


def watched(taking_part: Contenders) -> dict[str, float]:
    """Frames that one contender watched, against those if every question had been given the video anew."""
    records = next(iter(taking_part.values()), [])
    once = {record.item: max(r.frames for r in records if r.item == record.item) for record in records}
    each = sum(record.frames * max(1, len(record.polls)) for record in records)
    total = sum(once.values())
    return {
        "videos": len(once),
        "questions": len(records),
        "frames": total,
        "frames_if_each_question_watched": each,
        "times_saved": round(each / total, 2) if total else 1.0,
    }


FAKE = "FAKE JUDGE: these numbers mean nothing"


def _fake(settings: dict[str, Any]) -> bool:
    return bool(settings.get("judge", {}).get("fake"))


def table(benchmark: type[FieldBenchmark], result: dict[str, Any], records: Sequence[Record]) -> str:
    """The Markdown page of a result."""
    official = result["official"]
    names = list(dict.fromkeys(name for row in official for name in row if name not in ("policy", "budget")))
    lines = [f"| policy | budget | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    lines += [
        f"| {row['policy']} | {row['budget']} | {' | '.join(_cell(row.get(name)) for name in names)} |"
        for row in official
    ]
    parts = [
        f"# {benchmark.name}",
        "\n".join(lines),
        markdown(rows(in_order(records))).rstrip(),
        _left(result["left_out"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def narrow(result: dict[str, Any]) -> str:
    """The averages for a terminal, a line each, a column a contender."""
    official = result["official"]
    if not official:
        return "nothing was asked\n"
    names = [name for name in official[0] if name not in ("policy", "budget")]
    grid = [["", *(f"{row['policy']}@{row['budget']}" for row in official)]]
    grid += [[name, *(_cell(row.get(name)) for row in official)] for name in names]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid]
    saved = result["watched"]
    if _fake(result["settings"]):
        lines.insert(0, FAKE)
    lines += ["", f"{saved['questions']} questions, {saved['videos']} videos, each watched once: "
              f"{saved['times_saved']:g} times fewer frames than a video a question."]  # fmt: skip
    unparsed = {f"{row['policy']}@{row['budget']}": row["unparsed"] for row in result["cost"] if row["unparsed"]}
    lines += [f"replies out of which nothing could be read: {count} of {name}" for name, count in unparsed.items()]
    refused = {f"{row['policy']}@{row['budget']}": row["refused"] for row in result["cost"] if row["refused"]}
    lines += [f"questions too long for the room, not asked: {count} of {name}" for name, count in refused.items()]
    lines += [f"damaged: {line}" for line in result["damaged"]]
    return "\n".join(lines) + "\n" + (f"{_left(result['left_out'])}\n" if result["left_out"] else "")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".removesuffix(".00") if value > 100 else f"{value:.2f}"


def _left(left: Sequence[dict[str, Any]]) -> str:
    """What was left out, by reason, the first names of each."""
    if not left:
        return ""
    reasons: dict[str, list[str]] = {}
    for one in left:
        reasons.setdefault(one["why"], []).append(f"{one['what']} ({one['policy']})" if one["policy"] else one["what"])
    lost = Counter[str]()
    for one in left:
        lost[one["why"]] += one["questions"]
    lines = [f"left out: {sum(one['questions'] for one in left)} questions"]
    for why, names in reasons.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        lines.append(f"- {len(names)} ({lost[why]} questions): {why}: {shown}")
    return "\n".join(lines)
