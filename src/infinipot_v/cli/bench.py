"""`infinipot-v bench gpu`: exactness, speed and memory of real shapes with random weights, row by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infinipot_v.cli.options import Json, flag
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.bench.gpu import Plan
    from infinipot_v.bench.rows import Row

BENCHMARKS = ("gpu",)
SHAPES = "qwen2-vl-7b,qwen2.5-vl-3b,qwen2.5-vl-7b,llava-onevision-7b"
SEEN = "5000,25000,50000,100000"

EXAMPLES = """
Examples:
  infinipot-v bench gpu --out results/gpu --seconds-limit 480
  infinipot-v bench gpu --shapes tiny --device cpu
  infinipot-v bench gpu --shapes qwen2.5-vl-7b --measures exactness,stream --json
"""


def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"What to measure: {', '.join(BENCHMARKS)}.")],
    shapes: Annotated[
        str,
        flag(
            "NAMES",
            "Models by shape, with commas: the default ones, llava-onevision-0.5b, smolvlm2-500m, pocket, "
            "tiny (every family), tiny-FAMILY.",
        ),
    ] = SHAPES,
    measures: Annotated[
        str,
        flag("NAMES", "Of exactness, stream, answer, positions, memory. By default all; of tiny shapes exactness."),
    ] = "",
    device: Annotated[str, flag("NAME", "cuda, cuda:1, or cpu to try it out.")] = "cuda",
    layers: Annotated[int | None, flag("COUNT", "Layers at most, for a machine that is too small.")] = None,
    budget: Annotated[int, flag("COUNT", "The memory in tokens; half of it is measured too.")] = 6144,
    seen: Annotated[str, flag("COUNTS", "Tokens seen at which memory is read, with commas.")] = SEEN,
    answer_seen: Annotated[int, flag("COUNT", "Tokens seen before an answer is timed.")] = 50_000,
    steps: Annotated[int, flag("COUNT", "Steps of the timed stream.")] = 200,
    repeats: Annotated[int, flag("COUNT", "How often a thing is repeated.")] = 5,
    seconds_limit: Annotated[
        float | None,
        flag("SECONDS", "Stop measuring about then; shapes share it evenly, and what is left out is said."),
    ] = None,
    out: Annotated[
        Path | None,
        flag("FOLDER", "Write NAME-DEVICE.json and .md there, row by row; a stopped run goes on from them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure exactness, speed and memory of real models' shapes with random weights, on a GPU."""
    if name not in BENCHMARKS:
        raise UserError(f"unknown benchmark {name!r}; there is: {', '.join(BENCHMARKS)}")
    read = _counts(seen)
    from infinipot_v.bench.gpu import Plan, begin, run
    from infinipot_v.bench.subject import Sizes
    from infinipot_v.cli.quiet import quiet_libraries

    sizes = Sizes(budget=budget, half=max(1, budget // 2), seen=read, answer_seen=answer_seen, steps=steps,
                  repeats=repeats)  # fmt: skip
    plan = Plan.of(_names(shapes), device, _names(measures), layers, seconds_limit, sizes)
    quiet_libraries()
    result = begin(plan, out)

    def told(row: Row) -> None:
        _show(row, as_json)
        if out is not None:
            result.write(out, plan.stem, _title(plan))

    complete = run(plan, result, told)
    if out is not None:
        result.write(out, plan.stem, _title(plan))
    if as_json:
        typer.echo(json.dumps(result.as_json))
    if not complete and any(reason.startswith("failed") for reason in result.unfinished.values()):
        raise typer.Exit(1)


def _title(plan: Plan) -> str:
    from infinipot_v.bench.meter import device_name

    return f"bench gpu: {device_name(plan.device)}"


def _show(row: Row, as_json: bool) -> None:
    """A line a row on standard output; with --json on standard error, and only for somebody who looks."""
    from infinipot_v.cli.progress import on_terminal

    if not as_json or on_terminal():
        typer.echo(row.text, err=as_json)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text))
    except ValueError as error:
        raise UserError(f"cannot read --seen {text!r}: write numbers with commas, as in 5000,25000") from error
