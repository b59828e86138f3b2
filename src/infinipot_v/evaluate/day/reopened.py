"""The day's memory in a new process: it is opened from its file and asked again, and a fixed probe twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

PROBE = "What came first?"


def reopen(path: Path, model: str, questions: Sequence[str]) -> dict[str, Any]:
    """`answers` of the questions, asked in a new process; `probes`: one question twice; `seconds` that opening took.

    Raises `CalledProcessError` when the process fails.
    """
    asked = json.dumps({"path": str(path), "model": model, "questions": list(questions)})
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=asked, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Read what to ask from standard input, and print the answers as one line of JSON."""
    import time

    import torch

    from infinipot_v import Session, load_model

    torch.set_num_threads(1)
    task = json.loads(sys.stdin.read())
    model, began = load_model(task["model"], device="cpu"), time.perf_counter()
    session = Session.load(task["path"], model)
    seconds = time.perf_counter() - began
    answers = [session.ask(question, remember=False).text for question in task["questions"]]
    probes = [session.ask(PROBE, remember=False).text for _ in range(2)]
    report = {**asdict(session.report()), "policy": repr(session.cache.policy)}
    print(json.dumps({"answers": answers, "probes": probes, "seconds": seconds, "report": report}))


if __name__ == "__main__":
    main()
