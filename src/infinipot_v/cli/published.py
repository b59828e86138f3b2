"""`infinipot-v published [BENCHMARK]`: what others have printed, with its source, and one's own results beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infinipot_v.cli.complete import among
from infinipot_v.cli.eval import names
from infinipot_v.cli.options import Json, flag
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.evaluate.field.published import Number


def published(
    benchmark: Annotated[
        str | None, typer.Argument(metavar="BENCHMARK", help="Only this one.", autocompletion=among(names))
    ] = None,
    own: Annotated[list[Path] | None, flag("FOLDER", "Your results (eval --out) beside them; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Numbers that papers have printed. Never two backbones, or two judges, in one table."""
    from infinipot_v.evaluate.field import benchmark_names
    from infinipot_v.evaluate.field.published import own_numbers, tables
    from infinipot_v.evaluate.field.published import published as all_numbers

    if benchmark is not None and benchmark not in benchmark_names():
        known = benchmark_names()
        raise UserError(
            f"unknown benchmark {benchmark!r}{did_you_mean(benchmark, known)}; there are: {', '.join(known)}"
        )
    theirs = [one for one in all_numbers() if benchmark in (None, one.benchmark)]
    yours = [one for folder in own or () for one in own_numbers(folder) if benchmark in (None, one.benchmark)]
    if as_json:
        typer.echo(json.dumps({"rows": [asdict(one) for one in theirs], "own": [asdict(one) for one in yours]}))
    elif not theirs and not yours:
        typer.echo(f"nobody has printed a number on {benchmark} that is kept here")
    else:
        typer.echo("\n\n".join(_table(rows) for rows in tables(theirs, yours)))


def _table(rows: list[Number]) -> str:
    first = rows[0]
    head = f"{first.benchmark}, {first.metric}; {first.backbone}" + (f"; judge: {first.judge}" if first.judge else "")
    cells = [(f"{row.value:g}", row.method, row.budget, _source(row)) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = [
        "  ".join((line[0].rjust(widths[0]), line[1].ljust(widths[1]), line[2].ljust(widths[2]), line[3]))
        for line in cells
    ]
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _source(row: Number) -> str:
    told = row.source + (f" (printed by {row.by})" if row.by else "")
    return told if row.confirmed else f"{told}, read second-hand"
