"""`infinipot-v eval pocket --ablations`: the paper's experiments on the embedded world, resumable."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from infinipot_v.cli.counting import counting
from infinipot_v.cli.eval import check_folder, kept, pictured

if TYPE_CHECKING:
    from infinipot_v.evaluate.experiments.base import Experiment, Results
    from infinipot_v.evaluate.experiments.scale import Scale
    from infinipot_v.evaluate.records import RecordLog

NAME = "ablations"


def run_ablations(out: Path, quick: bool, device: str, as_json: bool) -> None:
    """Run what `out` does not hold yet, write the tables and pictures there, and show the tables."""
    from infinipot_v.evaluate.experiments import EXPERIMENTS
    from infinipot_v.evaluate.experiments.scale import FULL, QUICK

    ablate(out, QUICK if quick else FULL, EXPERIMENTS, device, as_json)


def ablate(out: Path, scale: Scale, experiments: Sequence[Experiment], device: str, as_json: bool) -> None:
    """The same for any experiments at any scale."""
    from infinipot_v.evaluate.experiments.report import as_json as plain
    from infinipot_v.evaluate.experiments.report import as_markdown

    log, results = _run(out, scale, experiments, device)
    told = plain(experiments, scale, results, log.settings)
    text = as_markdown(experiments, scale, results, log.settings)
    (out / f"{NAME}.json").write_text(json.dumps(told, indent=1) + "\n")
    (out / f"{NAME}.md").write_text(text)
    _pictures(out, scale, experiments, results)
    typer.echo(json.dumps(told) if as_json else text, nl=as_json)


def _run(out: Path, scale: Scale, experiments: Sequence[Experiment], device: str) -> tuple[RecordLog, Results]:
    from dataclasses import asdict

    from infinipot_v.cli.quiet import one_thread, quiet_libraries
    from infinipot_v.evaluate.experiments.running import run_experiments
    from infinipot_v.evaluate.experiments.streams import Pictures
    from infinipot_v.evaluate.records import RecordLog
    from infinipot_v.models.load import load_model

    out.mkdir(parents=True, exist_ok=True)
    check_folder(out, "--out")
    quiet_libraries()
    one_thread()
    model = load_model("pocket", device=device)
    settings = {**Pictures([]).settings, "scale": asdict(scale), "model": model.name, "dtype": str(model.hf.dtype)}
    log = RecordLog(out / f"{NAME}.jsonl", json.loads(json.dumps(settings, default=str)))
    began = time.perf_counter()
    with kept(log.path), counting("experiments") as progress:
        results = run_experiments(experiments, scale, model, log, progress)
    print(f"{len(log.records())} answers, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return log, results


def _pictures(out: Path, scale: Scale, experiments: Sequence[Experiment], results: Results) -> None:
    from infinipot_v.evaluate.experiments.drawing import draw

    with pictured():
        draw(experiments, scale, results, out)
