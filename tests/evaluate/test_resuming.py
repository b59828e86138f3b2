"""Experiments that are killed go on, and end with the records of a run that nobody killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from infinipot_v.cli.ablations import ablate
from infinipot_v.evaluate.experiments import alpha
from infinipot_v.evaluate.experiments.scale import QUICK
tiny = replace(QUICK, name="tiny", test=(1000000, 1000001), steps=6)
ablate(Path(sys.argv[1]), tiny, (alpha.EXPERIMENT,), "cpu", True)
"""


def started(out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE, text=True)


def records(out: Path) -> list[dict[str, object]]:
    """Everything but how long it took."""
    lines = [json.loads(line) for line in (out / "ablations.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.endswith("seconds")} for line in lines]


def test_kill_nine_in_the_middle_changes_no_record(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = started(whole)
    process = started(killed)
    file = killed / "ablations.jsonl"
    while not (file.exists() and file.read_bytes().count(b"\n") > 5):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    partly = file.read_bytes()
    out, _ = started(killed).communicate()
    undisturbed.communicate()
    kept = partly[: partly.rfind(b"\n") + 1]
    assert len(partly) < file.stat().st_size and file.read_bytes().startswith(kept)
    assert records(killed) == records(whole)
    assert json.loads(out)["rows"] == json.loads((whole / "ablations.json").read_text())["rows"]
