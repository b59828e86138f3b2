"""`infinipot-v memory`: look into a saved memory without a model, or make a smaller one of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infinipot_v.cli.app import App
from infinipot_v.cli.options import Answers, Checkpoint, Json, Memory, flag
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.saving import Contents

File = Annotated[Path, typer.Argument(metavar="FILE", help="A saved memory (.ivm.safetensors).")]

app = App(name="memory", help="Look into a saved memory, or make a smaller one of it.")


@app.callback(invoke_without_command=True)
def _alone(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def info(
    file: File,
    check: Annotated[bool, flag(None, "Read all of the file and verify every checksum.", "--check")] = False,
    as_json: Json = False,
) -> None:
    """Say what is inside a saved memory; no model is needed."""
    from infinipot_v.saving import describe

    contents = describe(file, check=check)
    told = {**asdict(contents), "last_seconds": contents.last_seconds if contents.report.frames else None}
    typer.echo(json.dumps(told) if as_json else _told(contents, check))


@app.command()
def trim(
    file: File,
    checkpoint: Checkpoint,
    budget: Annotated[str | None, flag("SIZE", "The new cap: tokens (2048) or bytes (64MiB).")] = None,
    save: Annotated[Path | None, flag("FILE", "Where the smaller memory goes; FILE itself is possible.")] = None,
    as_json: Json = False,
) -> None:
    """Compress a saved memory once, by its own policy, into a smaller budget."""
    from infinipot_v.budget import Budget
    from infinipot_v.cli import building, reopening
    from infinipot_v.saving.replacing import check_place
    from infinipot_v.session import Session

    if budget is None or save is None:
        raise UserError("memory trim needs the new cap and a file: --budget 2048 --save smaller.ivm.safetensors")
    reopening.check_new(save, file)
    check_place(save)
    kept = reopening.kept(file, checkpoint, Memory(), Answers())
    own = kept.contents.setup["budget"]
    cap = Budget.parse(budget, keep=float(own["keep"]), room=int(own["room"]))
    session = Session.load(file, building.model_of(kept.checkpoint), budget=cap)
    size = session.save(save, extra=kept.contents.extra)
    report = session.report()
    if as_json:
        typer.echo(json.dumps({"memory": asdict(report), "saved": {"path": str(save), "bytes": size}}))
    else:
        typer.echo(f"{save}: {report.held_tokens} of {report.budget_tokens} tokens held, {size:,} bytes")


def _told(contents: Contents, checked: bool) -> str:
    """The lines of `memory info`."""
    from infinipot_v.cli.progress import clock
    from infinipot_v.cli.sizes import size
    from infinipot_v.sources.stretch import Stretch

    report = contents.report
    stretch = Stretch.from_json(contents.extra.get("watched"))
    rows = {
        "model": f"{contents.model} ({contents.family}, {contents.dtype})",
        "watched": f"{clock(report.seconds)}, {report.frames} frames, {report.seen_tokens} tokens",
        "held": f"{report.held_tokens} of {report.budget_tokens} tokens, {report.compressions} compactions",
        "memory": f"{size(report.nbytes)} of at most {size(report.cap_bytes)}",
        "policy": report.policy,
        "dialogue": f"{contents.turns} turns",
        "source": "" if stretch is None else ", ".join(stretch.paths) + (", all of it" if stretch.all else ""),
        "saved": f"{contents.saved}, by infinipot-v {contents.version}, format {contents.format}",
        "file": f"{size(contents.bytes)}{', every checksum is right' if checked else ''}",
    }
    rows |= {f"  {name}": size(amount) for name, amount in contents.parts.items()}
    return "\n".join(f"{name:<12} {value}" for name, value in rows.items() if value)
