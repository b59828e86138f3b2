"""A saved memory on the command line: its model, what may not be said beside it, and how watching goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from infinipot_v.cli.options import Answers, Checkpoint, Footage, Memory
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.models.base import Model
    from infinipot_v.saving import Contents
    from infinipot_v.session import Session
    from infinipot_v.sources.stretch import Stretch

SUFFIX = ".safetensors"


def is_memory(path: Path) -> bool:
    """Whether a path is that of a saved memory, by its name."""
    return path.name.endswith(SUFFIX)


def check_new(save: Path, allowed: Path | None) -> None:
    """Raise `UserError` where a save would take the place of a file, other than the `allowed` one."""
    same = allowed is not None and allowed.exists() and save.exists() and save.samefile(allowed)
    if save.exists() and not same:
        raise UserError(f"{save} is there already: go on with it (--resume), remove it, or give another --save")


@dataclass(frozen=True)
class Kept:
    """A memory's file, looked into before the model is loaded."""

    path: Path
    contents: Contents
    checkpoint: Checkpoint


def kept(path: Path, checkpoint: Checkpoint, memory: Memory, answers: Answers) -> Kept:
    """Look into a memory's file. Raises `SaveError`, and `UserError` for options that it would not listen to."""
    from infinipot_v.saving import describe

    said = [*changed(memory), *(["--system"] if answers.system is not None else [])]
    if said:
        given = ", ".join(said)
        raise UserError(f"a saved memory keeps what it was made with: leave out {given} (memory trim makes it smaller)")
    contents = describe(path)
    return Kept(path, contents, replace(checkpoint, model=checkpoint.model or contents.model))


def changed(group: Any) -> list[str]:
    """The flags of a group of options that are not as they are by default."""
    return [
        f"--{field.name.replace('_', '-')}" for field in fields(group) if getattr(group, field.name) != field.default
    ]


def session_of(kept: Kept, model: Model) -> Session:
    """Open it, and say where it lives otherwise than before."""
    from infinipot_v.session import Session

    session = Session.load(kept.path, model)
    if session.restored:
        typer.echo(f"note: {session.restored}", err=True)
    return session


def stretch_of(contents: Contents, paths: list[Path], footage: Footage) -> Stretch:
    """What is left of these files, if the memory was watching them; or all of them, behind what it has watched.

    Raises `UserError` for files of which nothing is left, or that are to be sampled otherwise in their middle.
    """
    from infinipot_v.cli.building import stretch_of as whole
    from infinipot_v.cli.progress import clock
    from infinipot_v.sources.stretch import Stretch, all_watched

    before, now = Stretch.from_json(contents.extra.get("watched")), whole(paths, footage)
    fixed = [flag for flag in changed(footage) if flag in ("--tokens-per-step", "--max-pixels")]
    if fixed:
        raise UserError(f"the memory's first frame has fixed its resolution: leave out {', '.join(fixed)}")
    said = [flag for flag in changed(footage) if flag in ("--fps", "--start", "--end", "--subtitles")]
    if before is None or before.last is None or not now.same_files(before) or (before.over and "--start" in said):
        return now if not contents.report.frames else now.behind(_newest(before, contents))
    if before.over and (before.span.end is None or (footage.end or math.inf) <= before.span.end):
        raise UserError(all_watched(before))
    replaced = "--subtitles" if before.subtitles is not None else None  # the file may lie elsewhere by now
    said = [flag for flag in said if flag not in ("--end", replaced)]
    if said:
        raise UserError(f"{paths[0]} goes on as it was watched: leave out {', '.join(said)}")
    last, offset = before.last, before.offset
    if footage.subtitles is not None:
        before = replace(before, subtitles=now.subtitles)
    end = footage.end if before.over or footage.end is not None else before.span.end
    risk = contents.extra.get("at_risk")
    lost = (
        f"; it was not ended in peace, and what was watched since then (at most {risk}) is watched again"
        if risk
        else ""
    )
    typer.echo(f"note: going on at {clock(last)} of {paths[0]}, where the memory was saved{lost}", err=True)
    return before.until(end).after(last + offset)


def _newest(before: Stretch | None, contents: Contents) -> float:
    """Where the memory's stream ends, waiting frames included."""
    known = before.last + before.offset if before is not None and before.last is not None else contents.last_seconds
    return max(known, contents.last_seconds)
