"""Two memories saved in turn, again and again, by a process that is killed; run as a module, for one test.

    python -m tests.saving.killing CHECKPOINT FOLDER KILLS

The libraries are loaded once: every victim is a fork of this process. Prints a JSON object of what was found.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

import torch

from infinipot_v import Session, load_model
from infinipot_v.saving import describe
from tests.saving.memories import differences, opened, pictures


def main(checkpoint: str, folder: str, kills: int) -> None:
    """Kill, and look at the file, `kills` times."""
    torch.set_num_threads(1)
    model = load_model(checkpoint, device="cpu")
    sessions = [opened(model), opened(model)]
    for number, session in enumerate(sessions):
        session.watch(iter(pictures(21 + 8 * number)))
    path = Path(folder) / "day.ivm.safetensors"
    began = time.perf_counter()
    sessions[0].save(path, extra={"which": 0})
    usual, drawn, parts, seen = time.perf_counter() - began, random.Random(0), 0, [0, 0]
    for _ in range(kills):
        _killed(path, sessions, drawn.uniform(0, 4 * usual))
        parts += len(os.listdir(folder)) > 1
        which = int(str(describe(path, check=True).extra["which"]))
        assert not differences(Session.load(path, model), sessions[which]), "a file of neither memory"
        seen[which] += 1
    sessions[0].save(path)
    print(json.dumps({"kills": kills, "in_the_middle": parts, "found": seen, "left": sorted(os.listdir(folder))}))


def _killed(path: Path, sessions: list[Session], seconds: float) -> None:
    """A child saves the two in turn, and is killed so many seconds after it has begun."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b".")
        for number in count(1):
            sessions[number % 2].save(path, extra={"which": number % 2})
    os.read(reader, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
