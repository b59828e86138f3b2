"""Turns a training record into the shipped checkpoint: ``python -m training.finish --run FOLDER``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from infinipot_v.pocket.build import CHECKPOINT, write_checkpoint
from infinipot_v.pocket.questions import QUESTION_KINDS
from training.curriculum import STAGES
from training.pupil import Pupil
from training.state import load_log, load_tensors


def finish(run: Path, folder: Path) -> None:
    """Write weights as fp16 with config and tokenizer, and the record as JSON and picture."""
    import torch

    pupil = Pupil(torch.device("cpu"), torch.float32, fuse=False)
    pupil.load_state_dict(load_tensors(run, "weights"))
    write_checkpoint(pupil.model, folder)
    log = load_log(run)
    (folder / "training.json").write_text(written(record(log)))
    draw(log["curve"], folder / "curve.png")


def record(log: dict[str, Any]) -> dict[str, Any]:
    """What a reader wants to know of a run: commands, seed, time, curve."""
    sessions = [{k: v for k, v in session.items() if k not in ("out", "resume")} for session in log["sessions"]]
    return {
        "command": "python -m training.run --out FOLDER --seconds SECONDS, resumed once a session",
        "seed": sessions[0]["seed"],
        "hours": round(log["seconds"] / 3600, 4),
        "updates": log["updates"],
        "sessions": sessions,
        "stages": [vars(stage) for stage in STAGES],
        "curve": log["curve"],
    }


def written(record: dict[str, Any]) -> str:
    """JSON with a line for every session, stage and point of the curve."""
    fields = []
    for name, value in record.items():
        text = ",\n  ".join(json.dumps(entry) for entry in value) if isinstance(value, list) else ""
        fields.append(f' "{name}": ' + (f"[\n  {text}\n ]" if text else json.dumps(value)))
    return "{\n" + ",\n".join(fields) + "\n}\n"


def draw(curve: list[dict[str, Any]], path: Path) -> None:
    """Running training accuracy by question kind, and the loss, against seconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 7), sharex=True)
    seconds = [point["seconds"] for point in curve]
    for kind in QUESTION_KINDS:
        above.plot(seconds, [point["kinds"].get(kind, float("nan")) for point in curve], label=kind)
    for index, point in enumerate(curve):
        if index == 0 or curve[index - 1]["stage"] != point["stage"]:
            above.axvline(point["seconds"], color="0.85", zorder=0)
            above.text(point["seconds"], 0.02, point["stage"], rotation=90, fontsize=6, color="0.4")
    above.set_ylabel("answered right")
    above.legend(fontsize=7, ncols=3, loc="center right")
    below.semilogy(seconds, [point["loss"] for point in curve])
    below.set_ylabel("loss")
    below.set_xlabel("seconds of training")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the --out folder of training.run")
    parser.add_argument("--to", type=Path, default=CHECKPOINT)
    chosen = parser.parse_args()
    finish(chosen.run, chosen.to)
