"""kill -9 at any moment: under the name there is always a whole memory, the last or the one before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

KILLS = 200


def test_two_hundred_kills_while_saving(checkpoint, tmp_path):
    command = [sys.executable, "-m", "tests.saving.killing", str(checkpoint("qwen2_vl")), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == KILLS == sum(found["found"]) and min(found["found"]) > 10
    assert found["in_the_middle"] > KILLS // 20, "some were to be killed while a file was being written"
    assert found["left"] == ["day.ivm.safetensors"], "and the next save clears away what they left"
