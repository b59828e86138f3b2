"""`infinipot-v watch VIDEO --save FILE`: watch in fixed memory, keep that as a file, and go on another day."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infinipot_v.cli.losses import note_losses
from infinipot_v.cli.options import Answers, Checkpoint, Footage, Json, Memory, Saving
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.saving import Autosave
    from infinipot_v.session import Session
    from infinipot_v.sources.stretch import Rest

EXAMPLES = """
Examples:
  infinipot-v watch monday.mp4 --save week.ivm.safetensors --model FOLDER
  infinipot-v ask week.ivm.safetensors "Who came first?"
  infinipot-v watch tuesday.mp4 --resume week.ivm.safetensors
"""


def watch(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file, a folder of images, or an image.")],
    footage: Footage,
    saving: Saving,
    memory: Memory,
    answers: Answers,
    checkpoint: Checkpoint,
    as_json: Json = False,
) -> None:
    """Watch VIDEO in fixed memory and save that as a file that answers questions, and can watch on.

    Ctrl-C ends the watching and saves what was watched; --resume with the same VIDEO goes on at the next frame.
    """
    from infinipot_v.cli import building, reopening
    from infinipot_v.sources.ahead import FRAMES
    from infinipot_v.sources.stretch import Rest

    target = _target(saving)
    paths = [video, *(footage.then or ())]
    if saving.resume is None:
        name, stretch = building.named(checkpoint), building.stretch_of(paths, footage)
        limits = building.limits_of(memory, footage)
    else:
        kept = reopening.kept(saving.resume, checkpoint, memory, answers)
        name, stretch = building.named(kept.checkpoint), reopening.stretch_of(kept.contents, paths, footage)
    with Rest(stretch, ahead=FRAMES) as source:
        model = building.model_of(replace(checkpoint, model=name))
        if saving.resume is None:
            session = building.session_of(model, limits, footage, memory, answers, live=source.duration is None)
        else:
            session = reopening.session_of(kept, model)
            if footage.subtitles and not session.settings.text_tokens:
                raise UserError("this memory takes no text: it was begun without --subtitles, so leave them out")
        watching = Recording(session, source, target, saving, kept.contents.extra if saving.resume else None)
        watching.run()
        result = {**watching.result(), "model": name}
        note_losses(source, session)
    typer.echo(json.dumps(result) if as_json else _told(result, session, target))


def _target(saving: Saving) -> Path:
    """Where the memory goes. Raises `UserError` for nowhere, and `SaveError` where another memory would be lost."""
    from infinipot_v.cli import reopening
    from infinipot_v.saving.replacing import check_place

    target = saving.save or saving.resume
    if target is None:
        raise UserError("watch needs a file for the memory: --save day.ivm.safetensors (ask answers without one)")
    if saving.save is not None:
        reopening.check_new(saving.save, saving.resume)
    if saving.autosave < 0 or saving.autosave_keep < 1 or (saving.autosave_frames or 1) < 1:
        raise UserError("--autosave is in seconds (0: never), --autosave-frames and --autosave-keep at least 1")
    check_place(target)
    return target


class Recording:
    """A session that watches a source and is saved on the way, and at the end, however the watching ends."""

    def __init__(
        self, session: Session, source: Rest, target: Path, saving: Saving, kept: Mapping[str, Any] | None = None
    ) -> None:
        from infinipot_v.cli.progress import Watching
        from infinipot_v.saving import Autosave

        self.session, self.source, self.target = session, source, target
        self._kept = dict(kept or {})
        self.interrupted, self.ended, self.saved = False, False, 0
        self._bar = Watching(session, source.expected_frames)
        clocked = [f"{saving.autosave:g} s"] if saving.autosave else []
        counted = [f"{saving.autosave_frames} frames"] if saving.autosave_frames else []
        self._interval = " or ".join([*clocked, *counted])
        self._autosave: Autosave | None = None
        if saving.autosave or saving.autosave_frames:
            self._autosave = Autosave(
                session, target, seconds=saving.autosave or None, frames=saving.autosave_frames,
                keep=saving.autosave_keep, extra=self.extra,
            )  # fmt: skip

    def run(self) -> None:
        """Watch to the end, or to Ctrl-C or SIGTERM; what has been watched is saved. Without a frame, nothing is."""
        before = self.session.report().frames
        frames: Iterator[Any] = self._bar.over(self.source)
        try:
            with terminated_as_interrupted(), self._bar.shown():
                self.session.watch(frames if self._autosave is None else self._autosave.over(frames))
        except KeyboardInterrupt:
            if self.session.report().frames == before:
                raise
            self.interrupted = True
        except Exception:
            if self.session.report().frames > before:
                with suppress(UserError):
                    self._save()
            raise
        if not self.interrupted and self.session.report().frames == before:
            from infinipot_v.sources.stretch import all_watched

            raise UserError(all_watched(self.source.stretch))
        self._save()

    def _save(self) -> None:
        """At the end; a signal that comes meanwhile waits until the file is whole."""
        self.ended = True
        try:
            with terminated_as_interrupted(), deferred_interrupts():
                self._save_now()
        except KeyboardInterrupt:
            self.interrupted = True

    def _save_now(self) -> None:
        if self._autosave is None:
            self.saved = self.session.save(self.target, extra=self.extra())
        else:
            self.saved = self._autosave.save()

    def extra(self) -> dict[str, Any]:
        """What goes into the file beside the memory: how far the source has come, and what a kill would lose now."""
        reached = self.source.stretch.reached(self.session.newest, self.source.over)
        return {**self._kept, "watched": reached.as_json(), "at_risk": None if self.ended else self._interval}

    def result(self) -> dict[str, Any]:
        """The parts `video`, `memory` and `saved` of the JSON."""
        report = asdict(self.session.report())
        video = {key: report.pop(key) for key in ("frames", "steps", "seconds", "waiting_frames", "letterboxed_frames")}
        harm = {"damaged": self.source.damaged, "damage": self.source.damage}
        state = {"interrupted": self.interrupted, "over": self.source.over}
        return {
            "video": {**video, **harm, **state},
            "memory": report,
            "saved": {"path": str(self.target), "bytes": self.saved},
        }


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the watching as Ctrl-C does: service managers send it, and the memory is saved."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not in the main thread: nothing arrives here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _told(result: dict[str, Any], session: Session, target: Path) -> str:
    from infinipot_v.cli.progress import clock
    from infinipot_v.cli.sizes import size

    report = session.report()
    lines = [
        f"{'interrupted at' if result['video']['interrupted'] else 'watched to'} {clock(session.newest)}: "
        f"{report.frames} frames, {report.seen_tokens} tokens seen, {report.held_tokens} held "
        f"({size(report.nbytes)} of at most {size(report.cap_bytes)})",
        f"saved in {target} ({size(result['saved']['bytes'])})",
    ]
    return "\n".join(lines)
