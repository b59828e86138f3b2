"""`infinipot-v eval day`: 24 hours at one frame a second: bytes over time, answers by delay. Resumable by its parts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from infinipot_v.cli.eval import check_folder, kept, pictured
from infinipot_v.types import UserError

STEPS = 43_200
SEEDS = "1000000:1000002"
LEAST = 120


def run_day(out: Path, seeds: range, steps: int, device: str, as_json: bool) -> None:
    """Run what `out` does not hold yet, and write the tables and the picture there."""
    from infinipot_v.cli.progress import on_terminal
    from infinipot_v.cli.quiet import one_thread, quiet_libraries
    from infinipot_v.evaluate.day.picture import draw
    from infinipot_v.evaluate.day.running import Scale, read, run
    from infinipot_v.evaluate.day.summary import markdown, summary
    from infinipot_v.models.load import load_model

    if steps < LEAST:
        raise UserError(f"a day of {steps} steps is too short to forget anything: give at least {LEAST} (--steps)")
    out.mkdir(parents=True, exist_ok=True)
    check_folder(out, "--out")
    quiet_libraries()
    one_thread()
    scale = Scale(steps=steps, seeds=tuple(seeds))
    end = "\r" if on_terminal() else "\n"
    with kept(out):
        run(out, scale, load_model("pocket", device=device), lambda line: print(f"{line}   ", end=end, file=sys.stderr))
    found = read(out, scale)
    told = summary(found, scale)
    (out / "day.json").write_text(json.dumps(told, indent=1) + "\n")
    (out / "day.md").write_text(markdown(told))
    with pictured():
        draw(found, told, out / "day.png")
    typer.echo(json.dumps(told) if as_json else markdown(told), nl=as_json)
