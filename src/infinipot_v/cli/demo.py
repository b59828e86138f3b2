"""`infinipot-v demo`: the embedded model watches a stream in a sixteenth of the memory, beside the controls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infinipot_v.cli.complete import several_of
from infinipot_v.cli.eval import check_folder, contender_names
from infinipot_v.cli.options import Json, flag
from infinipot_v.cli.progress import on_terminal, status
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.evaluate.base import Item
    from infinipot_v.evaluate.contenders import Contender
    from infinipot_v.evaluate.pocket import PocketBenchmark
    from infinipot_v.evaluate.records import Record
    from infinipot_v.models.base import Model
    from infinipot_v.types import Frame

POLICIES = "infinipot-v,full,uniform,sliding-window,last-frames"
SHARE = Fraction(1, 16)


def demo(
    seeds: Annotated[str, flag("A:B", "Streams A to B - 1, one after the other.")] = "1000000:1000001",
    policies: Annotated[
        str, flag("NAME,...", "Who takes part; the first is shown.", complete=several_of(contender_names))
    ] = POLICIES,
    steps: Annotated[int, flag("COUNT", "Length of a stream in steps of 2 s.")] = 128,
    picture: Annotated[Path, flag("FILE", "Where the picture goes.")] = Path("infinipot-v-demo.png"),
    as_json: Json = False,
) -> None:
    """Watch a stream of minutes at 1/16 of the full cache, ask about it, and score the same without this memory."""
    from infinipot_v.cli.eval import benchmark_of, names_of
    from infinipot_v.evaluate.contenders import contenders

    check_folder(picture.parent, "--picture")
    taking_part = contenders(names_of(policies), [SHARE])
    if not taking_part:
        raise UserError(f"nobody takes part: name policies, as in --policies {POLICIES}")
    benchmark = benchmark_of(seeds, steps)
    first = names_of(policies)[0]
    taking_part.sort(key=lambda contender: contender.policy != first)
    from infinipot_v.cli.quiet import one_thread, quiet_libraries
    from infinipot_v.evaluate.sharing import SharedVision
    from infinipot_v.models.load import load_model

    quiet_libraries()
    one_thread()
    shared: Any = SharedVision(load_model("pocket", device="cpu"))
    records, began = [], time.perf_counter()
    for item in benchmark.items():
        shared.forget()
        for contender in taking_part:
            quietly = as_json or contender.policy != first
            records += _watch(benchmark, shared, contender, item, quietly)
    _finish(benchmark, records, picture, as_json, time.perf_counter() - began)


def _watch(benchmark: PocketBenchmark, model: Model, contender: Contender, item: Item, quietly: bool) -> list[Record]:
    """One contender watches one stream; the first is shown doing it."""
    from infinipot_v.evaluate.runner import records_of

    if quietly:
        with status(f"watching with {contender.policy}"):
            return list(records_of(benchmark, model, contender, item))
    typer.echo(
        f"\nA synthetic camera, {item.seconds:.0f} s. The full cache would hold {item.tokens} tokens a layer and head; "
        f"this memory may hold {int(item.tokens * contender.fraction)}.\n"
    )
    shown = []
    with _moving_bar(benchmark, item.seconds) as (watched, say):
        for record in records_of(watched, model, contender, item):
            say(_line(record, item))
            shown.append(record)
    return shown


@contextmanager
def _moving_bar(benchmark: PocketBenchmark, seconds: float) -> Iterator[tuple[Any, Callable[[str], None]]]:
    """The benchmark, with a bar on standard error that moves while its frames are taken, and what prints above it."""
    if not on_terminal():
        yield benchmark, typer.echo
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("watching"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} s")
    quietly: dict[str, Any] = {"transient": True, "redirect_stdout": False, "redirect_stderr": False}
    with Progress(*columns, console=Console(stderr=True), **quietly) as bar:
        task = bar.add_task("", total=seconds)

        def say(line: str) -> None:
            bar.stop()  # which wipes it away
            typer.echo(line)
            bar.start()

        yield _Observed(benchmark, lambda frame: bar.update(task, completed=frame.seconds)), say


class _Observed:
    """A benchmark whose frames are told to somebody as they are taken."""

    def __init__(self, benchmark: PocketBenchmark, tell: Any) -> None:
        self._benchmark, self._tell = benchmark, tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._benchmark, name)

    @contextmanager
    def frames(self, item: Item) -> Iterator[Iterator[Frame]]:
        """The benchmark's frames, told one by one."""
        with self._benchmark.frames(item) as frames:
            yield (self._told(frame) for frame in frames)

    def _told(self, frame: Frame) -> Frame:
        self._tell(frame)
        return frame


def _line(record: Record, item: Item) -> str:
    at = item.questions[record.index].at or 0
    mark = typer.style("right", fg="green") if record.correct else typer.style("wrong", fg="red")
    gone = "visible now" if record.delay <= 0 else f"gone for {record.delay:.0f} s"
    return (
        f"{at:4.0f} s  {record.held_tokens:4d} tokens, {record.nbytes / 2**20:.2f} MiB  {mark}  {record.question} "
        f"-> {record.reply.strip() or '(nothing)'} (truth: {record.answer}; {gone})"
    )


def _finish(benchmark: PocketBenchmark, records: list[Record], picture: Path, as_json: bool, seconds: float) -> None:
    from infinipot_v.evaluate.postcard import draw_postcard
    from infinipot_v.evaluate.rows import as_json as plain
    from infinipot_v.evaluate.rows import rows_of

    rows = rows_of(records)
    draw_postcard(benchmark, records, picture)
    if as_json:
        settings = {**benchmark.settings, "budget_fraction": float(SHARE), "seconds": round(seconds, 1)}
        typer.echo(json.dumps({"rows": plain(rows), "settings": settings, "picture": str(picture)}))
        return
    typer.echo("\nThe same questions, the same model:\n")
    for policy in dict.fromkeys(row.policy for row in rows):
        everything, delayed = (
            next(row for row in rows if (row.policy, row.kind, row.delay) == (policy, "all", cut))
            for cut in ("all", "delayed")
        )
        typer.echo(
            f"  {policy:<15} {everything.held_tokens:5d} tokens {everything.nbytes / 2**20:6.2f} MiB   "
            f"{everything.correct:2d} of {everything.n} right, {delayed.correct:2d} of {delayed.n} about what is gone"
        )
    typer.echo(f"\n{seconds:.0f} s. The picture: {picture}. Measured on many streams: infinipot-v eval pocket")
