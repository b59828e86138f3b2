"""`infinipot-v bench memory`: each contender in a process of its own, so that nobody finds what another has left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import IO, Any

import torch

from infinipot_v.bench import memory
from infinipot_v.bench.child import Task
from infinipot_v.bench.memory import Contender, Scales, Weight, label
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.plan import Bench, Plan
from infinipot_v.bench.rows import Result
from infinipot_v.bench.shapes import Shape, shapes_of
from infinipot_v.bench.subject import Sizes
from infinipot_v.bench.timing import Deadline, TimeUp

GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "1"}
"""glibc gives freed memory back at once, so that the resident set is what is in use; the same for all contenders."""


CHILD = ["-m", "infinipot_v.bench.child"]


@dataclass(frozen=True)
class Weighing:
    """What is weighed: a shape as planned, until `deadline`. The models are built by the children."""

    shape: Shape
    plan: Plan
    deadline: Deadline

    def task(self, contender: Contender) -> Task:
        """For one child."""
        plan = self.plan
        left = None if self.deadline.at is None else self.deadline.left
        threads = plan.threads or (1 if self.shape.small else torch.get_num_threads())
        return Task(self.shape.name, str(plan.device), plan.layers, threads, plan.sizes, contender, plan.limit, left)


@dataclass(frozen=True)
class WeighingCase:
    """A case that builds nothing in this process."""

    shape: Shape

    @property
    def name(self) -> str:
        """The shape's."""
        return self.shape.name

    def measures(self, plan: Plan) -> tuple[str, ...]:
        """See `Case`."""
        return tuple(plan.bench.measures)

    def threads(self, plan: Plan) -> int | None:
        """Those of the children count."""
        return None

    def build(self, plan: Plan, end: Deadline, result: Result) -> Weighing:
        """See `Case`."""
        return Weighing(self.shape, plan, end)


def cases(names: tuple[str, ...]) -> tuple[WeighingCase, ...]:
    """Cases of shapes by name. Raises `UserError` for an unknown one."""
    return tuple(WeighingCase(shape) for shape in shapes_of(names))


def measure(weighing: Weighing, notebook: Notebook) -> None:
    """Held and peak bytes of every contender at every length, and the four figures of the longest one."""
    scales = Scales(notebook)
    befores: dict[str, int] = {}
    peaks: dict[tuple[str, int], int] = {}
    for contender in memory.contenders(weighing.plan.sizes):
        for child in _children(contender):
            for about, before, weight in _weights(weighing.task(child)):
                notebook.result.settings["shapes"].setdefault(weighing.shape.name, about)
                if contender.name not in befores:
                    befores[contender.name] = before
                    notebook.row(f"{contender.name}/before", [float(before)], "B", "the process, its model in it")
                scales.write(contender, weight, before)
                peaks[contender.name, weight.seen] = weight.peak and weight.peak - before
    about = notebook.result.settings["shapes"].get(weighing.shape.name)
    if about:
        _headline(weighing.plan.sizes, notebook, about, peaks)


def _children(contender: Contender) -> Iterator[Contender]:
    """One process walks a stream from stop to stop; a forward over everything needs one for each length."""
    if contender.kind != "one-shot":
        yield contender
        return
    for seen in contender.stops:
        yield replace(contender, stops=(seen,))


def _weights(task: Task) -> Iterator[tuple[dict[str, Any], int, Weight]]:
    """What a child says: about its model, bytes before the stream, weights; those it did not come to are missing."""
    about: dict[str, Any] = {}
    before, left, reason = 0, list(task.contender.stops), ""
    with _child(task) as (lines, ended):
        for line in lines:
            said = json.loads(line)
            about, before, reason = said.get("about", about), said.get("before", before), said.get("end", reason)
            if "weight" in said:
                weight = Weight(**said["weight"])
                left.remove(weight.seen)
                yield about, before, weight
        reason = reason or ended()
    if reason == "no time left":
        raise TimeUp
    for seen in left:
        yield about, before, Weight(seen, note=reason)


@contextmanager
def _child(task: Task) -> Iterator[tuple[IO[str], Any]]:
    """The lines of a running child, and a function that waits for its end and says what it died of."""
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=errors, text=True, env={**os.environ, **GIVE_BACK},
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def ended() -> str:
            if process.wait() in (-signal.SIGKILL, 128 + signal.SIGKILL):
                return "out of memory: the system has ended the process"
            if process.returncode:
                errors.seek(0)
                last = (errors.read().strip().splitlines() or ["no word"])[-1]
                raise RuntimeError(f"the process of {task.contender.name} has failed: {last}")
            return "out of memory"

        try:
            process.stdin.write(task.as_json + "\n")
            process.stdin.close()
            yield process.stdout, ended
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _headline(sizes: Sizes, notebook: Notebook, about: dict[str, Any], peaks: dict[tuple[str, int], int]) -> None:
    """Four figures of the smallest budget behind the longest stream, each named for what it is."""
    seen, budget, a_token = sizes.seen[-1], min(sizes.budgets), about["kv_bytes_a_token"]
    steps = seen // about["tokens_per_step"] * about["tokens_per_step"]
    full, ours = float(steps * a_token), f"ours-{budget}"
    notebook.row("kv-of-all-tokens", [full], "B", f"keys and values of {steps} tokens")
    notebook.row(f"kv-held/{ours}", [float(budget * a_token)], "B", "keys and values of |M| tokens")
    notebook.ratio(f"{label(seen)}, KV held at |M| = {budget} over KV of all tokens", [float(budget)], [float(steps)])
    caps = {row.name: row.median for row in notebook.result.rows}
    cap = caps.get(f"{notebook.part}/{ours}/cap_bytes")
    if cap:
        notebook.ratio(f"{label(seen)}, cap_bytes at |M| = {budget} over KV of all tokens", [cap], [full])
    for other in ("one-shot-all-logits", "one-shot-last-logits", "chunked"):
        if peaks.get((other, seen)) and peaks.get((ours, seen)):
            what = f"{label(seen)}, process memory without weights, {ours} over {other}"
            notebook.ratio(what, [float(peaks[ours, seen])], [float(peaks[other, seen])])


MEMORY = Bench(
    name="memory", measures={"memory": measure}, cases=cases, shapes=("0.5b",), layers=6,
    how={
        "weights": "random; every figure is one of memory",
        "memory": memory.HOW,
        "processes": "each contender in a process of its own, a one-shot in one for each length; the resident set, "
        "freed memory given back at once; ratios without what the process took before the stream (interpreter, "
        "libraries, weights)",
        "memory_limit": "private memory that a process may have in bytes (RLIMIT_DATA); beyond it memory is used up",
    },
    sizes=Sizes(budgets=(2_500, 625), seen=(2_500, 5_000, 10_000), answer_seen=1),
    quick=Sizes(budgets=(120, 30), seen=(240, 480), answer_seen=1),
    parts=(4, 16),
    takes=frozenset({"layers", "threads", "budgets", "seen", "block", "memory_limit"}),
)  # fmt: skip
