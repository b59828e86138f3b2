"""`infinipot-v eval NAME --data DIR`: a benchmark of the field on a folder in its official layout. Resumable."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from infinipot_v.cli.options import Checkpoint, Json, flag
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.evaluate.contenders import Contender
    from infinipot_v.evaluate.field.base import FieldBenchmark
    from infinipot_v.evaluate.field.shards import Merged, Shard
    from infinipot_v.evaluate.records import Record, RecordLog


@dataclass(frozen=True)
class Field:
    """Where a benchmark of the field lies, and how it is run."""

    panel: ClassVar[str] = "Benchmarks of the field"

    data: Annotated[Path | None, flag("FOLDER", "The benchmark's folder, in its official layout.")] = None
    recipe: Annotated[str | None, flag("NAME", "Settings of a publication; see docs/benchmarks.md.")] = None
    limit: Annotated[int | None, flag("COUNT", "Only the first so many videos.")] = None
    shard: Annotated[str | None, flag("I/N", "Only this part of the videos; eval-merge puts the parts together.")] = (
        None
    )
    ray: Annotated[
        str | None,
        flag("ADDRESS", "Run on a Ray cluster, a video at a time: local, auto, host:6379, ray://host:10001."),
    ] = None
    ray_workers: Annotated[int | None, flag("COUNT", "Models at work there; one a GPU if not given.")] = None
    strict: Annotated[bool, flag(None, "Stop where a video or a record would be left out.", "--strict")] = False


@dataclass(frozen=True)
class Judging:
    """Who judges free answers, of the benchmarks that need it."""

    panel: ClassVar[str] = "Judge"

    judge: Annotated[
        str | None, flag("URL", "An OpenAI-compatible server that judges free answers, as http://localhost:8000/v1.")
    ] = None
    judge_model: Annotated[
        str | None, flag("NAME@REVISION", "The judge's model, and what it was started with; see docs/benchmarks.md.")
    ] = None


def run_field(
    name: str,
    field: Field,
    judging: Judging,
    checkpoint: Checkpoint,
    policies: str | None,
    budgets: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Run what `out` does not hold yet, and write the result there."""
    from infinipot_v.cli.building import named
    from infinipot_v.cli.counting import counting
    from infinipot_v.cli.eval import check_folder, kept
    from infinipot_v.evaluate.contenders import contenders
    from infinipot_v.evaluate.field.shards import Merged, Shard

    shard = Shard.parse(field.shard)
    benchmark = benchmark_of(name, field)
    check_judge(type(benchmark), judging)
    shares, absolute = limits_of(budgets or benchmark.recipe.budget)
    taking_part = contenders(_names(policies or benchmark.recipe.policies), shares, absolute)
    named(checkpoint)
    total = sum(len(item.questions) for item in benchmark.items())
    if not total:
        report_left(benchmark)
        raise UserError(f"{field.data} holds no question that can be asked: {len(benchmark.left)} were left out")
    if field.ray_workers is not None and field.ray is None:
        raise UserError("--ray-workers without --ray ADDRESS: say which cluster, or local")
    out.mkdir(parents=True, exist_ok=True)
    check_folder(out, "--out")
    path = shard.log(out, benchmark.name)
    with kept(path), counting("evaluating") as progress:
        running = Running(benchmark, taking_part, path, shard, progress)
        log = (
            running.here(checkpoint) if field.ray is None else running.on_ray(checkpoint, field.ray, field.ray_workers)
        )
    if shard.of > 1:
        typer.echo(f"{log.path}: {len(log.records())} answers; when all parts are there: infinipot-v eval-merge {out}")
        return
    finish(type(benchmark), Merged(log.records(), log.left, log.settings), judging, out, as_json)


def benchmark_of(name: str, field: Field) -> FieldBenchmark:
    """Open the benchmark. Raises `UserError` for no folder, a wrong one, and an unknown recipe."""
    from infinipot_v.evaluate.field import benchmark_class
    from infinipot_v.evaluate.field.recipes import recipe_of

    found = benchmark_class(name)
    if field.data is None:
        raise UserError(f"{name} needs its data: give --data FOLDER, which holds {found.layout}")
    if not field.data.is_dir():
        raise UserError(f"no folder {field.data}: check --data")
    if field.limit is not None and field.limit < 1:
        raise UserError(f"--limit {field.limit} leaves nothing: give a number of videos from 1 on")
    return found(field.data, recipe_of(field.recipe, name), limit=field.limit, strict=field.strict)


def limits_of(text: str) -> tuple[list[Fraction], list[str]]:
    """Read budgets with commas between: shares of the full cache (1/16, 0.25), tokens (6144) and bytes (512MiB)."""
    from infinipot_v.budget import Budget
    from infinipot_v.cli.eval import fractions_of

    shares, absolute = [], []
    for part in _names(text):
        if "/" in part or part.startswith(("0.", ".")):
            shares += fractions_of(part)
        else:
            Budget.parse(part)
            absolute.append(part)
    return shares, absolute


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@dataclass(frozen=True)
class Running:
    """One run, here or on a cluster."""

    benchmark: FieldBenchmark
    contenders: list[Contender]
    path: Path
    shard: Shard
    progress: Callable[[int, int], None]

    def here(self, checkpoint: Checkpoint) -> RecordLog:
        """In this process."""
        from infinipot_v.cli.building import model_of
        from infinipot_v.evaluate.field.running import run_logged, settings_of
        from infinipot_v.evaluate.records import RecordLog

        if checkpoint.model == "pocket":
            from infinipot_v.cli.quiet import one_thread

            one_thread()
        model = model_of(checkpoint)
        log = RecordLog(self.path, settings_of(self.benchmark, model))
        run_logged(self.benchmark, model, self.contenders, log, self.shard, self.progress)
        return log

    def on_ray(self, checkpoint: Checkpoint, address: str, workers: int | None) -> RecordLog:
        """In the workers of a Ray cluster; no model is loaded here."""
        from infinipot_v.cli.building import loader_of
        from infinipot_v.evaluate.field.cluster import run_on_ray
        from infinipot_v.evaluate.records import RecordLog

        return run_on_ray(
            self.benchmark, loader_of(checkpoint), self.contenders, lambda settings: RecordLog(self.path, settings),
            address=address, workers=workers, shard=self.shard, progress=self.progress,
            note=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip


def finish(benchmark: type[FieldBenchmark], found: Merged, judging: Judging, out: Path, as_json: bool) -> None:
    """Have it judged where that is wanted, write the result beside the records, and show it."""
    from infinipot_v.evaluate.field.report import by_contender, narrow, summary, table

    name, records, settings = benchmark.name, list(found.records), found.settings
    if benchmark.judged and judging.judge is not None:
        name, records, settings = _judged(benchmark.name, found, judging, out)
    result = summary(benchmark, records, found.left, settings)
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(table(benchmark, result, records), encoding="utf-8")
    for (policy, limit), own in by_contender(records).items():
        if (content := benchmark.submission(own)) is not None:
            told = re.sub(r"[^A-Za-z0-9.=-]+", "-", f"{policy}@{limit}")
            (out / f"{name}.submission.{told}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    typer.echo(json.dumps(result) if as_json else f"{narrow(result)}\nEverything: {out / name}.md")
    if benchmark.judged and judging.judge is None:
        print("note: nothing was judged; the same command with --judge URL goes on from the answers", file=sys.stderr)


def _judged(name: str, found: Merged, judging: Judging, out: Path) -> tuple[str, list[Record], dict[str, Any]]:
    from infinipot_v.cli.counting import counting
    from infinipot_v.cli.eval import kept
    from infinipot_v.evaluate.field.judge import judge_of
    from infinipot_v.evaluate.field.judging import Verdicts, judged, label

    judge = judge_of(judging.judge or "", judging.judge_model)
    name = f"{name}.{label(judge.settings)}"
    verdicts = Verdicts(out / f"{name}.jsonl", judge.settings)
    with kept(verdicts.path), counting("judging") as progress:
        records = judged(found.records, judge, verdicts, progress)
    return name, records, {**found.settings, "judge": judge.settings}


def check_judge(benchmark: type[FieldBenchmark], judging: Judging) -> None:
    """Raise `UserError` for a judge that nobody asks, or that has no address; before the long work."""
    from infinipot_v.evaluate.field.judge import judge_of

    if judging.judge is None:
        if judging.judge_model is not None:
            raise UserError("--judge-model without --judge URL: say where the judge is served")
        return
    if not benchmark.judged:
        raise UserError(f"{benchmark.name} is scored without a judge: leave out --judge")
    judge_of(judging.judge, judging.judge_model)


def merge(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the parts' records lie (eval --out).")],
    judging: Judging,
    as_json: Json = False,
) -> None:
    """Put the parts of `eval NAME --shard I/N` together: the result that one run would have had."""
    from infinipot_v.evaluate.field import benchmark_class
    from infinipot_v.evaluate.field.shards import merge as merged
    from infinipot_v.evaluate.field.shards import parts_in

    for name, paths in parts_in(folder).items():
        benchmark = benchmark_class(name)
        check_judge(benchmark, judging)
        finish(benchmark, merged(paths), judging, folder, as_json)


def report_left(benchmark: FieldBenchmark) -> None:
    """Say on standard error what was left out."""
    for left in benchmark.left[:10]:
        print(f"{left.what}: {left.why}", file=sys.stderr)
