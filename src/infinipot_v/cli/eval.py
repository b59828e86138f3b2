"""`infinipot-v eval`: policies x budgets on a benchmark, ours or the field's, or the paper's experiments; resumable."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from infinipot_v.cli.complete import among, several_of
from infinipot_v.cli.counting import counting
from infinipot_v.cli.field import Field, Judging
from infinipot_v.cli.options import Checkpoint, Json, flag
from infinipot_v.nearest import did_you_mean
from infinipot_v.policies import policy_names
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.evaluate.records import RecordLog

BENCHMARKS = ("pocket", "day")
SEEDS = "1000000:1000024"
STEPS = 128
POLICIES = "full,last-frames,blind,infinipot-v,infinipot-v-code,uniform,sliding-window,random"
BUDGETS = "1/2,1/4,1/8,1/16,1/32"


def spaced(names: str) -> str:
    """The same, to be read by people."""
    return names.replace(",", ", ")


def contender_names() -> Iterable[str]:
    """The policies, the controls of `POLICIES` that are none, and retrieval."""
    return dict.fromkeys((*policy_names(), *POLICIES.split(","), "rekv"))


@dataclass(frozen=True)
class Streams:
    """The streams of our own world."""

    panel: ClassVar[str] = "pocket and day"

    seeds: Annotated[
        str | None, flag("A:B", f"Streams A to B - 1; from 0 development, from 1000000 test. [{SEEDS}]")
    ] = None
    steps: Annotated[int | None, flag("COUNT", f"Length of a stream in steps of 2 s. [{STEPS}]")] = None
    ablations: Annotated[
        bool, flag(None, "The paper's experiments instead; an hour. They choose policies and streams.", "--ablations")
    ] = False
    quick: Annotated[bool, flag(None, "With --ablations: few and short streams, five minutes.", "--quick")] = False


def names() -> Iterable[str]:
    """All benchmarks."""
    from infinipot_v.evaluate.field import benchmark_names

    return (*BENCHMARKS, *benchmark_names())


def evaluate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The benchmark: pocket, day (24 hours; docs/day.md), or one of the field (docs/benchmarks.md).",
            autocompletion=among(names),
        ),
    ],
    streams: Streams,
    field: Field,
    judging: Judging,
    checkpoint: Checkpoint,
    policies: Annotated[
        str | None,
        flag(
            "NAME,...",
            f"Policies, comma-separated. [pocket: {spaced(POLICIES)}; else by the recipe]",
            "--policies",
            "--policy",
            complete=several_of(contender_names),
        ),
    ] = None,
    budgets: Annotated[
        str | None,
        flag(
            "SIZE,...",
            "Shares of the full cache (1/16), tokens (6144), bytes (512MiB). "
            f"[pocket: {spaced(BUDGETS)}; else by the recipe]",
            "--budgets",
            "--budget",
        ),
    ] = None,
    out: Annotated[Path, flag("FOLDER", "Where the records go; a stopped run goes on from them.")] = Path(
        "eval-results"
    ),
    as_json: Json = False,
) -> None:
    """Run a benchmark: every policy at every budget, accuracy by kind of question and by delay."""
    if name not in BENCHMARKS:
        from infinipot_v.cli.field import run_field

        check_name(name)
        _refuse(changed(streams), f"{{}} are for pocket and day: leave them out of {name}")
        return run_field(name, field, judging, checkpoint, policies, budgets, out, as_json)
    _refuse(changed(field) | changed(judging), f"{{}} are for the benchmarks of the field: leave them out of {name}")
    given = {"model": checkpoint.model, "policies": policies, "budgets": budgets}
    if name == "day":
        own = {"ablations": streams.ablations or None, "quick": streams.quick or None}
        _refuse({**given, **own}, "a day is what it is: leave out {}")
        return _day(streams, out, checkpoint.device, as_json)
    if streams.quick and not streams.ablations:
        raise UserError("--quick is for --ablations: give both, or fewer --seeds")
    if streams.ablations:
        from infinipot_v.cli.ablations import run_ablations

        refusal = "the experiments are what they are: leave out {} beside --ablations"
        _refuse({**given, "seeds": streams.seeds, "steps": streams.steps}, refusal)
        return run_ablations(out, streams.quick, checkpoint.device, as_json)
    return _pocket(checkpoint, policies or POLICIES, budgets or BUDGETS, streams, out, as_json)


def _pocket(checkpoint: Checkpoint, policies: str, budgets: str, streams: Streams, out: Path, as_json: bool) -> None:
    seeds, steps = streams.seeds or SEEDS, STEPS if streams.steps is None else streams.steps
    benchmark = benchmark_of(seeds, steps)
    log = run_benchmark(benchmark, checkpoint, names_of(policies), fractions_of(budgets), out / "pocket.jsonl")
    from infinipot_v.evaluate.figures import draw
    from infinipot_v.evaluate.rows import as_json as plain
    from infinipot_v.evaluate.rows import markdown, narrow, rows_of

    rows = rows_of(log.records())
    others = {row.policy for row in rows} - set(names_of(policies))
    if others:
        typer.echo(f"note: {out} also holds records of earlier runs: {', '.join(sorted(others))}", err=True)
    result = {"rows": plain(rows), "settings": log.settings}
    (out / "pocket.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "pocket.md").write_text(markdown(rows))
    title = f"pocket benchmark, model {log.settings['model']}, seeds {seeds}, {steps} steps of 2 s"
    with pictured():
        draw(rows, out / "pocket.png", title)
    typer.echo(json.dumps(result) if as_json else f"{narrow(rows)}\nBy kind and by delay: {out / 'pocket'}.md")


def _day(streams: Streams, out: Path, device: str, as_json: bool) -> None:
    from infinipot_v.cli.day import SEEDS as OWN_SEEDS
    from infinipot_v.cli.day import STEPS as OWN_STEPS
    from infinipot_v.cli.day import run_day

    steps = OWN_STEPS if streams.steps is None else streams.steps
    run_day(out, seeds_of(streams.seeds or OWN_SEEDS), steps, device, as_json)


def _refuse(given: dict[str, object], refusal: str) -> None:
    """Raise `UserError` for options that would not be listened to; None is not given."""
    named = [f"--{option}" for option, value in given.items() if value is not None]
    if named:
        raise UserError(refusal.format(", ".join(named)))


def changed(group: Streams | Field | Judging) -> dict[str, object]:
    """Options of a group that were given."""
    return {
        one.name.replace("_", "-"): value for one in fields(group) if (value := getattr(group, one.name)) != one.default
    }


def run_benchmark(
    benchmark: Any, checkpoint: Checkpoint, policies: list[str], budgets: list[Fraction], path: Path
) -> RecordLog:
    """Run what the records at `path` do not hold yet, with progress on standard error, and return the log."""
    from infinipot_v.budget import Budget
    from infinipot_v.cli.building import model_of
    from infinipot_v.cli.quiet import one_thread
    from infinipot_v.evaluate.contenders import contenders
    from infinipot_v.evaluate.records import RecordLog
    from infinipot_v.evaluate.runner import run

    taking_part = contenders(policies, budgets)
    path.parent.mkdir(parents=True, exist_ok=True)
    check_folder(path.parent, "--out")
    if checkpoint.model in (None, "pocket"):
        one_thread()
    loaded = model_of(replace(checkpoint, model=checkpoint.model or "pocket"), noted=False)
    log = RecordLog(
        path, {**benchmark.settings, "model": loaded.name, "keep": Budget.keep, "dtype": str(loaded.hf.dtype)}
    )
    with kept(path), counting("evaluating") as progress:
        run(benchmark, loaded, taking_part, log, progress=progress)
    return log


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """On Ctrl-C, say what is not lost."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{path} keeps what is done, and the same command goes on from it") from error


def check_folder(folder: Path, option: str) -> None:
    """Raise `UserError` unless files can be made in `folder`; asked before the long work, not behind it."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: make it, or give another {option}")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UserError(f"{folder} may not be written to: change its permissions, or give another {option}")


def seeds_of(text: str) -> range:
    """Read `A:B` as the seeds A to B - 1; raises `UserError`."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise UserError(f"cannot read the seeds {text!r}: write A:B with A below B, as in 1000000:1000024")
    return range(int(first), int(last))


def check_name(name: str) -> None:
    """Raise `UserError` for a benchmark that there is not."""
    known = list(names())
    if name not in known:
        raise UserError(f"unknown benchmark {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}")


def benchmark_of(seeds: str, steps: int) -> Any:
    """The pocket benchmark; raises `UserError` for seeds and lengths that cannot be."""
    if steps < 4:
        raise UserError(f"a stream of {steps} steps is too short to ask about: give at least 4")
    from infinipot_v.evaluate.pocket import PocketBenchmark

    return PocketBenchmark(seeds_of(seeds), steps)


def names_of(text: str) -> list[str]:
    """Read names with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


def fractions_of(text: str) -> list[Fraction]:
    """Read shares with commas between; raises `UserError`."""
    try:
        return [Fraction(part.strip()) for part in text.split(",") if part.strip()]
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"cannot read the budgets {text!r}: write shares of the full cache, as in 1/4,1/16") from error


@contextmanager
def pictured() -> Iterator[None]:
    """Draw inside this block; where nothing can be drawn, say why, and go on without."""
    try:
        yield
    except UserError as error:
        print(f"no picture: {error}", file=sys.stderr)
