"""`infinipot-v doctor [--model X]`: what is here, and whether a checkpoint will run on it, without loading weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from infinipot_v.cli.options import DEVICES, DTYPES, Json, flag, models
from infinipot_v.cli.progress import status
from infinipot_v.cli.sizes import size, span
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.survey.examination import Examination
    from infinipot_v.survey.machine import Machine

EXAMPLES = """
Examples:
  infinipot-v doctor
  infinipot-v doctor --model FOLDER --budget 1GiB
"""


def doctor(
    model: Annotated[
        str | None, flag("NAME", "A checkpoint to look at: a folder, a hub id, or pocket.", choices=models)
    ] = None,
    revision: Annotated[str | None, flag("NAME", "Branch, tag or commit of a hub id.")] = None,
    device: Annotated[str, flag("NAME", "Where it is to run: auto, cpu, cuda, cuda:1, ...", choices=DEVICES)] = "auto",
    dtype: Annotated[str, flag("NAME", "auto, float32, bfloat16, float16.", choices=DTYPES)] = "auto",
    budget: Annotated[
        str | None, flag("SIZE", "The cap: tokens (6144) or bytes (512MiB). By default 6144 tokens.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine has, and whether a checkpoint will run on it; no weights are loaded.

    The exit code is 0 when it runs and 2 when it does not, with one line on standard error that says why.
    """
    from infinipot_v.budget import Budget
    from infinipot_v.cli.quiet import quiet_libraries

    limits = None if budget is None else Budget.parse(budget)
    from infinipot_v.survey.machine import look

    with status("looking at this machine"):
        quiet_libraries()
        machine = look()
    found = None
    if model is not None:
        with status("looking at the checkpoint"):
            found = _examined(model, revision, machine, device, limits, dtype)
    if as_json:
        runs = None if found is None else not found.problems
        checkpoint = None if found is None else asdict(found)
        typer.echo(json.dumps({"machine": asdict(machine), "checkpoint": checkpoint, "runs": runs}))
    else:
        typer.echo("\n".join([*_about(machine), *(_of(found) if found else [])]))
    if found is not None and found.problems:
        raise UserError("; ".join(found.problems))


def _examined(
    model: str, revision: str | None, machine: Machine, device: str, budget: object, dtype: str
) -> Examination:
    from infinipot_v.survey.examination import examine
    from infinipot_v.survey.files import CheckpointFiles

    return examine(CheckpointFiles.of(model, revision), machine.device(device), budget, dtype)  # type: ignore[arg-type]


def _about(machine: Machine) -> Iterator[str]:
    """A machine, in lines."""
    known = machine.versions
    first = ("infinipot-v", "python", "torch", "transformers")
    yield _line("versions", ", ".join(f"{name} {known[name]}" for name in first))
    rest = [f"{name} {value}" for name, value in known.items() if name not in first and value]
    yield _line("", ", ".join(rest))
    absent = [name for name, value in known.items() if value is None]
    if absent:
        yield _line("not here", f"{', '.join(absent)} (none is needed)")
    for index, device in enumerate(machine.devices):
        memory = f"{size(device.free_bytes)} free" if device.free_bytes is not None else "free memory unknown"
        total = f" of {size(device.total_bytes)}" if device.total_bytes is not None else ""
        cores = f", {machine.cores} cores" if device.kind == "cpu" else ""
        yield _line("" if index else "devices", f"{device.kind}: {device.name}{cores}, {memory}{total}")
    yield _line("attention", ", ".join(name for name, here in machine.attention.items() if here))
    av, ffmpeg = machine.video["av"], machine.video["ffmpeg"]
    yield _line("video", f"PyAV {av} with FFmpeg {ffmpeg}" if av else "PyAV is missing: pip install av")


def _of(found: Examination) -> Iterator[str]:
    """A checkpoint, in lines."""
    kinds = ", ".join(f"{count} {kind.replace('_', '-')}" for kind, count in found.layers.items())
    yield ""
    yield _line("checkpoint", f"{found.checkpoint}: {found.family}, {found.dtype} on {found.device}")
    yield _line("layers", f"{kinds}; {'M-RoPE' if found.axes == 3 else '1-D RoPE'}, {found.positions} positions")
    download = "" if found.downloaded else f", {size(found.download_bytes)} still to be downloaded"
    yield _line("weights", size(found.weights_bytes) + download)
    yield _line("cap", f"{size(found.cap_bytes)} for {found.budget_tokens:,} tokens")
    work = f"{size(found.work_bytes)}, and {size(found.process_bytes)} for the process (estimates)"
    yield _line("work space", work)
    free = "" if found.free_bytes is None else f" of {size(found.free_bytes)} free"
    yield _line("together", f"{size(found.needed_bytes)}{free}")
    frames = "two frames" if found.frames_per_step == 2 else "a frame"
    yield _line("a step", f"{found.step_tokens} tokens for {frames}, {size(found.token_bytes)} of KV a token")
    held = f"{found.gib_tokens:,} tokens, {span(found.gib_minutes)} at one frame a second"
    yield _line("1 GiB holds", f"{held}; then it begins to forget")
    end = "has no end" if found.stream_minutes is None else f"may last {span(found.stream_minutes)}, by its positions"
    yield _line("a stream", end)
    for index, (name, says) in enumerate(found.options.items()):
        yield _line("" if index else "-o options", f"{name}: {says}")
    yield _line("verdict", "it does not run" if found.problems else "it runs")


def _line(name: str, text: str) -> str:
    return f"{name:<12} {text}".rstrip()
