"""`infinipot-v eval`: policies x budgets on a benchmark, the paper's experiments, or a day of video; resumable."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infinipot_v.cli.complete import among, several_of
from infinipot_v.cli.counting import counting
from infinipot_v.cli.options import DEVICES, Json, flag, models
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


def contender_names() -> Iterable[str]:
    """The policies, the controls of `POLICIES` that are none, and retrieval."""
    return dict.fromkeys((*policy_names(), *POLICIES.split(","), "rekv"))


def evaluate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The benchmark: pocket, or day (24 hours; see docs/day.md).",
            autocompletion=among(BENCHMARKS),
        ),
    ],
    model: Annotated[str, flag("NAME", "A checkpoint folder or hub id, or pocket.", choices=models)] = "pocket",
    policies: Annotated[
        str, flag("NAME,...", "Policies, comma-separated.", complete=several_of(contender_names))
    ] = POLICIES,
    budgets: Annotated[str, flag("SHARE,...", "Shares of the full cache, comma-separated.")] = BUDGETS,
    seeds: Annotated[str, flag("A:B", "Streams A to B - 1; from 0 development, from 1000000 test.")] = SEEDS,
    steps: Annotated[int, flag("COUNT", "Length of a stream in steps of 2 s.")] = STEPS,
    ablations: Annotated[
        bool, flag(None, "The paper's experiments instead; an hour. They choose policies and streams.", "--ablations")
    ] = False,
    quick: Annotated[bool, flag(None, "With --ablations: few and short streams, five minutes.", "--quick")] = False,
    out: Annotated[Path, flag("FOLDER", "Where the records go; a stopped run goes on from them.")] = Path(
        "eval-results"
    ),
    device: Annotated[str, flag("NAME", "auto, cpu, cuda, ...", choices=DEVICES)] = "auto",
    as_json: Json = False,
) -> None:
    """Run a benchmark: every policy at every budget, accuracy by kind of question and by delay."""
    if name == "day":
        _day(
            {"model": model, "policies": policies, "budgets": budgets, "ablations": ablations, "quick": quick},
            seeds, steps, out, device, as_json,
        )  # fmt: skip
        return
    if quick and not ablations:
        raise UserError("--quick is for --ablations: give both, or fewer --seeds")
    benchmark = benchmark_of(name, seeds, steps)
    if ablations:
        from infinipot_v.cli.ablations import run_ablations

        given = {"model": model, "policies": policies, "budgets": budgets, "seeds": seeds, "steps": steps}
        _check_unchanged(given, "the experiments are what they are: leave out {} beside --ablations")
        run_ablations(out, quick, device, as_json)
        return
    log = run_benchmark(benchmark, model, names_of(policies), fractions_of(budgets), out / f"{name}.jsonl", device)
    from infinipot_v.evaluate.figures import draw
    from infinipot_v.evaluate.rows import as_json as plain
    from infinipot_v.evaluate.rows import markdown, narrow, rows_of

    rows = rows_of(log.records())
    others = {row.policy for row in rows} - set(names_of(policies))
    if others:
        typer.echo(f"note: {out} also holds records of earlier runs: {', '.join(sorted(others))}", err=True)
    result = {"rows": plain(rows), "settings": log.settings}
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / f"{name}.md").write_text(markdown(rows))
    title = f"{name} benchmark, model {log.settings['model']}, seeds {seeds}, {steps} steps of 2 s"
    with pictured():
        draw(rows, out / f"{name}.png", title)
    typer.echo(json.dumps(result) if as_json else f"{narrow(rows)}\nBy kind and by delay: {out / name}.md")


def _day(given: dict[str, object], seeds: str, steps: int, out: Path, device: str, as_json: bool) -> None:
    from infinipot_v.cli.day import SEEDS as OWN_SEEDS
    from infinipot_v.cli.day import STEPS as OWN_STEPS
    from infinipot_v.cli.day import run_day

    _check_unchanged(given, "a day is what it is: leave out {}")
    own = seeds_of(OWN_SEEDS if seeds == SEEDS else seeds)
    run_day(out, own, OWN_STEPS if steps == STEPS else steps, device, as_json)


def _check_unchanged(given: dict[str, object], refusal: str) -> None:
    """Raise `UserError` for an option that would not be listened to."""
    usual = {"model": "pocket", "policies": POLICIES, "budgets": BUDGETS, "seeds": SEEDS, "steps": STEPS}
    changed = [f"--{option}" for option, value in given.items() if value != usual.get(option, False)]
    if changed:
        raise UserError(refusal.format(", ".join(changed)))


def run_benchmark(
    benchmark: Any, model: str, policies: list[str], budgets: list[Fraction], path: Path, device: str = "auto"
) -> RecordLog:
    """Run what the records at `path` do not hold yet, with progress on standard error, and return the log."""
    from infinipot_v.budget import Budget
    from infinipot_v.cli.quiet import one_thread, quiet_libraries
    from infinipot_v.evaluate.contenders import contenders
    from infinipot_v.evaluate.records import RecordLog
    from infinipot_v.evaluate.runner import run
    from infinipot_v.models.load import load_model

    taking_part = contenders(policies, budgets)
    path.parent.mkdir(parents=True, exist_ok=True)
    check_folder(path.parent, "--out")
    quiet_libraries()
    if model == "pocket":
        one_thread()
    loaded = load_model(model, device=device)
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


def benchmark_of(name: str, seeds: str, steps: int) -> Any:
    """The benchmark of a name; raises `UserError` for an unknown one and for seeds or lengths that cannot be."""
    if name not in BENCHMARKS:
        raise UserError(
            f"unknown benchmark {name!r}{did_you_mean(name, BENCHMARKS)}; there is: {', '.join(BENCHMARKS)}"
        )
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
