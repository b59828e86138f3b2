"""`infinipot-v verify --model X`: is a checkpoint run rightly here? Against stock Hugging Face, check by check."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infinipot_v.cli.options import Checkpoint, Json, flag
from infinipot_v.cli.progress import status
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.models.base import Model
    from infinipot_v.types import Frame
    from infinipot_v.verify.finding import Finding

SIGNS = {True: "pass", False: "FAIL", None: "skip"}
STEPS = 12
"""Steps of video at most."""
SCENE = 240, 426
"""Height and width of the video that is made here."""
FAILED = 1
"""The exit code when a check has failed."""

EXAMPLES = """
Examples:
  infinipot-v verify --model FOLDER
  infinipot-v verify --model Qwen/Qwen2.5-VL-3B-Instruct --by "Your Name" --out report.json
"""


def verify(
    checkpoint: Checkpoint,
    video: Annotated[
        Path | None, flag("VIDEO", "A video of your own; by default one is made, of moving shapes.")
    ] = None,
    fps: Annotated[float, flag("RATE", "Frames sampled a second of video.")] = 1.0,
    tokens_per_step: Annotated[
        int, flag("COUNT", "Vision tokens a step at most, where the model leaves a choice; small is quick.")
    ] = 32,
    out: Annotated[Path | None, flag("FILE", "Write the report there, as JSON, to be sent.")] = None,
    by: Annotated[str | None, flag("NAME", "Your name, for the report.")] = None,
    as_json: Json = False,
) -> None:
    """Check a checkpoint against stock Hugging Face: prompt, pixels, positions, logits, cap, questions.

    It loads the weights and runs a few seconds of video, part of it without this memory: seconds on a GPU, minutes on a
    CPU. The exit code is 0 when no check failed, and 1 when one did. docs/verified.md says how to send a report.
    """
    from infinipot_v.cli import building

    name = building.named(checkpoint)
    if out is not None and not out.parent.is_dir():
        raise UserError(f"no folder {out.parent} for the report: make it, or give another --out")
    if out is not None and (out.is_dir() or not os.access(out if out.exists() else out.parent, os.W_OK)):
        raise UserError(f"the report cannot be written to {out}: give a file in a folder of yours as --out")
    if video is not None and not video.exists():
        raise UserError(f"no such file {video}: give a video, or leave --video out")
    model = building.model_of(checkpoint)
    from infinipot_v.survey.files import CheckpointFiles
    from infinipot_v.verify.checks import run_checks
    from infinipot_v.verify.record import Occasion, passed, record_of
    from infinipot_v.verify.subject import Subject

    files = CheckpointFiles.of(name, checkpoint.revision)
    subject = Subject(model, files, _frames(model, video, fps), fps, tokens_per_step)
    began, findings = time.perf_counter(), list[Any]()
    for finding in run_checks(subject, lambda check: status(f"checking {check}")):
        findings.append(finding)
        if not as_json:
            typer.echo(_line(finding))
    occasion = Occasion(by, "made here" if video is None else "a file", time.perf_counter() - began)
    record = record_of(subject, findings, occasion)
    if out is not None:
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(record) if as_json else _summary(findings, occasion.seconds))
    if not passed(findings):
        failed = [finding.name for finding in findings if finding.passed is False]
        typer.echo(f"error: {len(failed)} of {len(findings)} checks failed: {', '.join(failed)}", err=True)
        raise typer.Exit(FAILED)


def _frames(model: Model, video: Path | None, fps: float) -> tuple[Frame, ...]:
    """The first steps of a video, or of the scene that is made in memory."""
    wanted = STEPS * model.frames_per_step
    if video is None:
        from infinipot_v.verify.scene import scene_frames

        return scene_frames(wanted, *SCENE, fps)
    from infinipot_v.sources import open_source

    with open_source(video, fps=fps) as source:
        frames = tuple(islice(source, wanted))
    if len(frames) < 2 * model.frames_per_step:
        raise UserError(f"{video} has {len(frames)} frames at {fps:g} a second, too few: raise --fps, or leave it out")
    return frames


def _line(finding: Finding) -> str:
    return f"{SIGNS[finding.passed]}  {finding.name:<24} {finding.detail}"


def _summary(findings: Sequence[Finding], seconds: float) -> str:
    counts = {sign: sum(SIGNS[f.passed] == sign for f in findings) for sign in SIGNS.values()}
    skipped = f", {counts['skip']} skipped" if counts["skip"] else ""
    return f"{counts['pass']} passed, {counts['FAIL']} failed{skipped}, in {seconds:.0f} s"
