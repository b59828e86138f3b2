"""One contender of `bench memory` in a process of its own: `python -m infinipot_v.bench.child`, a task on stdin.

It answers in JSON lines on standard output: what the model is, the bytes before the stream, and each `Weight`.
"""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch

from infinipot_v.bench.feeding import Feed
from infinipot_v.bench.memory import Contender, weigh
from infinipot_v.bench.meter import Meter, out_of_memory
from infinipot_v.bench.models import SPARE_POSITIONS, described
from infinipot_v.bench.shapes import build, shapes_of
from infinipot_v.bench.subject import Sizes, Subject
from infinipot_v.bench.timing import Deadline, TimeUp


@dataclass(frozen=True)
class Task:
    """`limit` is the most private memory that the process may have in bytes, weights included; None is no limit."""

    shape: str
    device: str
    layers: int | None
    threads: int
    sizes: Sizes
    contender: Contender
    limit: int | None
    seconds: float | None

    @property
    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Task:
        """What `as_json` wrote."""
        found: dict[str, Any] = json.loads(text)
        sizes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.pop("sizes").items()
        }
        contender = found.pop("contender")
        contender["stops"] = tuple(contender["stops"])
        return cls(sizes=Sizes(**sizes), contender=Contender(**contender), **found)


def work(task: Task) -> None:
    """Build the model, run a little through it, and weigh the contender."""
    torch.set_num_threads(task.threads)
    _limit(task)
    (shape,) = shapes_of((task.shape,))
    model = build(shape, task.device, task.layers, positions=task.sizes.longest + SPARE_POSITIONS)
    subject = Subject(model, shape.frame, task.sizes, Deadline.after(task.seconds))
    _warm_up(subject)
    meter = Meter(subject.device)
    meter.restart()
    _say({"about": described(subject), "before": meter.held})
    for weight in weigh(subject, task.contender, meter):
        _say({"weight": asdict(weight)})


def _limit(task: Task) -> None:
    """Beyond the limit an allocation fails, as it does where memory is used up; on Linux only."""
    with suppress(ImportError, ValueError):
        import resource

        if task.limit is not None and torch.device(task.device).type == "cpu":
            resource.setrlimit(resource.RLIMIT_DATA, (task.limit, task.limit))


@torch.no_grad()
def _warm_up(subject: Subject) -> None:
    """What is loaded and kept at a first call belongs to nobody: every contender has made one of each kind."""
    Feed(subject, subject.session("full", 2 * subject.step_tokens)).steps(1)
    hf = subject.model.hf
    output = hf(input_ids=torch.zeros(1, 8, dtype=torch.long, device=subject.device), use_cache=True)
    del output


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def main() -> int:
    """Exit with 0, also where memory or time is used up, which is said."""
    warnings.simplefilter("ignore")
    task = Task.read(sys.stdin.readline())
    try:
        work(task)
    except TimeUp:
        _say({"end": "no time left"})
    except (RuntimeError, ValueError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        _say({"end": "out of memory"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
