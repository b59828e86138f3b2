"""`infinipot-v bench NAME`: speed, memory and exactness of real shapes with random weights, row by row."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infinipot_v.cli.complete import among
from infinipot_v.cli.options import Json, flag
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.bench.footage import Footage
    from infinipot_v.bench.plan import Bench, Plan
    from infinipot_v.bench.rows import Result, Row
    from infinipot_v.bench.subject import Sizes

BENCHMARKS = ("memory", "stream", "compress", "answer", "gpu")
LIMIT = "12GiB"

EXAMPLES = """
Examples:
  infinipot-v bench compress
  infinipot-v bench stream --shapes pocket,smolvlm2-500m --video clip.mp4 --fps 1
  infinipot-v bench memory --shapes qwen2-vl-7b --layers 2 --seen 5000,10000 --budgets 1/4,1/16 --out results
  infinipot-v bench answer --shapes 0.5b --answer-seen 50000
  infinipot-v bench gpu --out results/gpu --seconds-limit 480
  infinipot-v bench stream --shapes tiny --quick
"""


def bench(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help=f"What to measure: {', '.join(BENCHMARKS)}.", autocompletion=among(BENCHMARKS)
        ),
    ],
    shapes: Annotated[
        str,
        flag(
            "NAMES",
            "Models by shape, with commas: qwen2-vl-7b, qwen2.5-vl-3b, qwen2.5-vl-7b, llava-onevision-7b, "
            "smolvlm2-500m, 0.5b, pocket, tiny (every family), tiny-FAMILY; for compress HEADSxSLOTSxDIM.",
        ),
    ] = "",
    measures: Annotated[str, flag("NAMES", "Only these of the benchmark's measures, with commas.")] = "",
    device: Annotated[str | None, flag("NAME", "cpu, cuda, cuda:1; by default cuda for gpu, else cpu.")] = None,
    layers: Annotated[int | None, flag("COUNT", "Layers at most, for a machine that is too small.")] = None,
    threads: Annotated[
        int | None,
        flag("COUNT", "Threads on a CPU; one for small shapes, else PyTorch's choice."),
    ] = None,
    budgets: Annotated[
        str | None,
        flag("COUNTS", "Memories in tokens (6144), or as shares of the longest stream (1/16), with commas."),
    ] = None,
    seen: Annotated[str | None, flag("COUNTS", "memory, gpu: tokens seen where memory is read, with commas.")] = None,
    answer_seen: Annotated[int | None, flag("COUNT", "answer, gpu: tokens seen before an answer is timed.")] = None,
    answer_tokens: Annotated[int | None, flag("COUNT", "answer, gpu: tokens of an answer.")] = None,
    steps: Annotated[int | None, flag("COUNT", "stream, gpu: steps of the timed stream.")] = None,
    flat_steps: Annotated[int | None, flag("COUNT", "stream: steps of the long one, compared with a tenth.")] = None,
    block: Annotated[int | None, flag("COUNT", "Steps that run together.")] = None,
    repeats: Annotated[int | None, flag("COUNT", "How often a thing is repeated.")] = None,
    video: Annotated[Path | None, flag("FILE", "stream: watch this, and say how much faster than live.")] = None,
    fps: Annotated[float | None, flag("RATE", "stream: frames sampled a second of it; 1 if not given.")] = None,
    memory_limit: Annotated[
        str | None,
        flag("SIZE", f"memory: what a process may take on a CPU, {LIMIT} by default; beyond is a result."),
    ] = None,
    quick: Annotated[bool, flag(None, "Small sizes, to try it out.", "--quick")] = False,
    seconds_limit: Annotated[
        float | None,
        flag("SECONDS", "Stop measuring about then; shapes share it evenly, and what is left out is said."),
    ] = None,
    out: Annotated[
        Path | None,
        flag("FOLDER", "Write NAME-DEVICE.json, .md and .png there; a stopped run goes on from them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure memory, streaming, compaction, answers, or a GPU, against controls in the same run."""
    if name not in BENCHMARKS:
        raise UserError(
            f"unknown benchmark {name!r}{did_you_mean(name, BENCHMARKS)}; there are: {', '.join(BENCHMARKS)}"
        )
    given = {
        "layers": layers, "threads": threads, "budgets": budgets, "seen": _counts(seen), "answer_seen": answer_seen,
        "answer_tokens": answer_tokens, "steps": steps, "flat_steps": flat_steps, "block": block, "repeats": repeats,
        "video": video, "fps": fps, "memory_limit": memory_limit,
    }  # fmt: skip
    given = {option: value for option, value in given.items() if value is not None}
    plan = _plan(name, given, quick, shapes=_names(shapes), measures=_names(measures), device=device,
                 seconds=seconds_limit)  # fmt: skip
    _run(plan, out, as_json)


def _plan(name: str, given: dict[str, Any], quick: bool, **chosen: Any) -> Plan:
    from infinipot_v.bench.benches import bench_named
    from infinipot_v.bench.plan import Plan
    from infinipot_v.cli.quiet import quiet_libraries

    quiet_libraries()
    own = bench_named(name)
    _check_heeded(own, given)
    chosen |= {option: given[option] for option in ("layers", "threads") if option in given}
    if "memory_limit" in own.takes:
        chosen["limit"] = _bytes(given.get("memory_limit", LIMIT))
    plan = Plan.of(own, sizes=_sizes(own.quick if quick else own.sizes, given, own), **chosen)
    return plan.watching(_footage(given)) if "video" in given else plan


def _check_heeded(own: Bench, given: Mapping[str, Any]) -> None:
    """An option that would change nothing is a mistake."""
    heeded = own.takes | ({"fps"} if "video" in given else set())
    for option in given:
        if option not in heeded:
            why = "goes with --video" if option == "fps" and "video" in own.takes else f"is not for bench {own.name}"
            takes = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(own.takes - {"exact_steps"}))
            raise UserError(f"--{option.replace('_', '-')} {why}, which takes {takes}")


def _sizes(sizes: Sizes, given: Mapping[str, Any], own: Bench) -> Sizes:
    from dataclasses import fields, replace

    known = {field.name for field in fields(sizes)} - {"budgets"}
    sizes = replace(sizes, **{name: value for name, value in given.items() if name in known})
    whole = sizes.answer_seen if "seen" not in own.takes else sizes.seen[-1]
    if "budgets" in given:
        return replace(sizes, budgets=_budgets(given["budgets"], whole))
    # What is a share by default stays one when the stream's length is another.
    return replace(sizes, budgets=tuple(max(1, whole // part) for part in own.parts)) if own.parts else sizes


def _run(plan: Plan, out: Path | None, as_json: bool) -> None:
    from infinipot_v.bench.runner import begin, run

    result = begin(plan, out)

    def told(row: Row) -> None:
        _show(row, as_json)
        if out is not None:
            result.write(out, plan.stem, plan.title)

    complete = run(plan, result, told)
    if out is not None:
        result.write(out, plan.stem, plan.title)
        _picture(result, out / f"{plan.stem}.png", plan.title)
    if as_json:
        typer.echo(json.dumps(result.as_json))
    else:
        _show_ratios(result)
    if not complete and any(reason.startswith("failed") for reason in result.unfinished.values()):
        raise typer.Exit(1)


def _show(row: Row, as_json: bool) -> None:
    """A line a row on standard output; with --json on standard error, and only for somebody who looks."""
    from infinipot_v.cli.progress import on_terminal

    if not as_json or on_terminal():
        typer.echo(row.text, err=as_json)


def _show_ratios(result: Result) -> None:
    if result.ratios:
        typer.echo("\nratios of medians")
    for name, value in result.ratios.items():
        typer.echo(f"{name:<90} {value:.4g}")


def _picture(result: Result, path: Path, title: str) -> None:
    from infinipot_v.bench.figures import draw

    try:
        draw(result, path, title)
    except UserError as error:
        print(f"no picture: {error}", file=sys.stderr)


def _footage(given: Mapping[str, Any]) -> Footage:
    from infinipot_v.bench.footage import Footage

    return Footage.of(given["video"], given.get("fps", 1.0))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _counts(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in _names(text))
    except ValueError as error:
        raise UserError(f"cannot read --seen {text!r}: write numbers with commas, as in 5000,25000") from error


def _budgets(text: str, whole: int) -> tuple[int, ...]:
    """Tokens, or shares of `whole`."""
    try:
        shares = [Fraction(part) for part in _names(text)]
    except (ValueError, ZeroDivisionError):
        shares = []
    if not shares or any(share <= 0 or (share.denominator == 1) != (share >= 1) for share in shares):
        raise UserError(f"cannot read --budgets {text!r}: write tokens or shares of the stream, as in 6144 or 1/4,1/16")
    return tuple(max(1, int(share if share >= 1 else share * whole)) for share in shares)


def _bytes(text: str) -> int:
    from infinipot_v.budget import Budget

    try:
        size = Budget.parse(text).bytes
    except UserError:
        size = None
    if size is None:
        raise UserError(f"cannot read --memory-limit {text!r}: write a size with its unit, as in {LIMIT}")
    return size
