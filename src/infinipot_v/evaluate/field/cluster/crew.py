"""The workers of a run: hired, given videos, waited for, let go; and those that died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from infinipot_v.evaluate.field.cluster.worker import Job, Todo, Worker
from infinipot_v.types import UserError

PATIENCE = 600.0
"""Seconds that the first worker may take to find its place in the cluster; loading the model comes later."""


@dataclass(frozen=True)
class Dead:
    """A worker is no more."""

    why: str


class Crew:
    """The workers, and what each is at: a video, or None while it loads."""

    def __init__(self, ray: Any, job: Job, needs: dict[str, float]) -> None:
        self._ray, self._job = ray, job
        self._kind = ray.remote(Worker).options(max_restarts=0, max_task_retries=0, **needs)
        self._at: dict[Any, tuple[Any, Todo | None]] = {}

    def hire(self) -> Any:
        """Ask for one more, who loads the model first; return the reference to its first word."""
        worker = self._kind.remote(self._job)
        word = worker.host.remote()
        self._at[worker.load.remote()] = worker, None
        return word

    def give(self, worker: Any, todo: Todo) -> None:
        """Have a video watched."""
        self._at[worker.watch.remote(*todo)] = worker, todo

    def next(self) -> tuple[Any, Todo | None, Any]:
        """Wait until one has done what it was at: the worker, what that was, and the outcome.

        An exception of a worker's, other than `UserError`, is raised with the traceback that it had there.
        """
        done = self._ray.wait(list(self._at), num_returns=1)[0][0]
        worker, todo = self._at.pop(done)
        lost = self._ray.exceptions
        try:
            return worker, todo, self._ray.get(done)
        except (lost.RayActorError, lost.WorkerCrashedError, lost.OutOfMemoryError, lost.ObjectLostError) as error:
            if getattr(error, "actor_init_failed", False):  # the job cannot be read there: no other worker could
                raise
            self.release(worker)
            return worker, todo, Dead(_why(error))

    def release(self, worker: Any) -> None:
        """Let one go, and its device be somebody else's."""
        with suppress(Exception):  # one that is dead already, in a cluster that may be gone
            self._ray.kill(worker)

    def dismiss(self) -> None:
        """Let all go, whatever they are at."""
        for worker, _ in self._at.values():
            self.release(worker)


def _why(error: Exception) -> str:
    """Ray's page on a death in some words."""
    told = str(error).lower()
    if "low on memory" in told or "out_of_memory" in told:
        return "its machine ran out of memory"
    return "its machine is gone" if "node has died" in told or "node died" in told else "its process ended"


@contextmanager
def crew_of(ray: Any, job: Job, workers: int | None, videos: int) -> Iterator[Crew]:
    """Hire the workers, let them go at the end. Raises `UserError` where the cluster has no place for even one."""
    count, needs = size_of(ray.cluster_resources(), workers, videos)
    crew = Crew(ray, job, needs)
    try:
        words = [crew.hire() for _ in range(count)]
        if not ray.wait(words, num_returns=1, timeout=PATIENCE)[0]:
            wanted = "GPU" if "num_gpus" in needs else "CPU"
            raise UserError(f"no {wanted} of the cluster got free in {PATIENCE:g} s: look at ray status, or come later")
        yield crew
    finally:
        crew.dismiss()


def size_of(resources: dict[str, float], workers: int | None, videos: int) -> tuple[int, dict[str, float]]:
    """How many workers there shall be, and what each needs of Ray: a GPU, or where there are none a CPU or less."""
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    count = max(1, min(workers or gpus or cpus // 2, videos))
    if gpus:
        return count, {"num_gpus": 1, "num_cpus": 0}
    return count, {"num_cpus": int(100 * min(1.0, max(1, cpus) / count)) / 100}
