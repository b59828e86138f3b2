"""One run over many GPUs and machines, on Ray: each worker has a model of its own, and is given a video at a time.

Only the driver writes the log, so it is the serial run's but for the order of its lines. A worker that dies is replaced
and its video watched again, whole.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.base import BrokenVideo, Item
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.field.recipes import Recipe
from infinipot_v.evaluate.field.shards import Shard
from infinipot_v.evaluate.records import Record, RecordLog, Unit, differences
from infinipot_v.evaluate.runner import Progress
from infinipot_v.models.base import Model
from infinipot_v.types import UserError

LOCAL = "local"
"""The address that starts a cluster on this machine, for as long as the run takes."""
LIVES = 3
"""So many workers in a row may die of one video."""
PATIENCE = 600.0
"""Seconds that the first worker may take to find its place in the cluster; loading the model comes later."""
KNOCK = 10.0
"""Seconds that a cluster may take to answer at its address."""
STORE = 100 * 2**20
"""Bytes of the object store of a cluster started here: what goes through it are records."""

Settings = dict[str, Any]
Todo = tuple[Item, list[Contender]]


def run_on_ray(
    benchmark: FieldBenchmark,
    make: Callable[[], Model],
    contenders: Sequence[Contender],
    opened: Callable[[Settings], RecordLog],
    *,
    address: str = LOCAL,
    workers: int | None = None,
    shard: Shard = Shard(),  # noqa: B008 - frozen
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> RecordLog:
    """Fill the log with what it lacks of a part, as `run_logged` does, and return it.

    `make` loads the model, in each worker anew; it is pickled: `functools.partial(load_model, "pocket")`, say. `opened`
    makes the log of a run from its settings, which the first worker tells, so that no model is loaded here. `address`
    is `local`, or Ray's: `auto`, `host:6379`, `ray://host:10001`. `workers`: one a GPU of the cluster if not given, or
    where it has none one for two CPUs; never more than there are videos. `note` is told of each worker that died.

    Raises `UserError` where ray is missing or cannot be reached, where workers differ in what a result depends on, for
    a video of which `LIVES` workers in a row have died, and whatever `UserError` a worker met.
    """
    if workers is not None and workers < 1:
        raise UserError(f"{workers} workers do nothing: give a number from 1 on, or leave it out")
    items = [item for item in benchmark.items() if shard.takes(benchmark.place(item))]
    job = Job(make, type(benchmark), benchmark.data.absolute(), benchmark.recipe, benchmark.limit)
    with connected(address) as ray, crew_of(ray, job, workers, len(items)) as crew:
        run = Run(benchmark, contenders, items, opened, crew, progress, note)
        while not run.finished:
            run.step()
    return run.log


# In a worker ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """How a worker comes to its model and its videos."""

    make: Callable[[], Model]
    kind: type[FieldBenchmark]
    data: Path
    recipe: Recipe
    limit: int | None


@dataclass(frozen=True)
class Refused:
    """A `UserError` on its way to the driver, and the machine on which it was raised."""

    message: str
    host: str

    def error(self) -> UserError:
        """It again; another machine is named."""
        return UserError(self.message if self.host == platform.node() else f"{self.message} (on {self.host})")


@dataclass(frozen=True)
class Loaded:
    """A worker is ready: what its results depend on, and its machine."""

    settings: Settings
    host: str


@dataclass(frozen=True)
class Watched:
    """What came of one video: whole units, and what broke off the rest, if anything did."""

    units: Sequence[tuple[Unit, Sequence[Record]]]
    broken: str | None = None


class Worker:
    """One model on one device, in a process of its own, which does what it is told, one thing at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def host(self) -> str:
        """Its machine, which it says at once."""
        return platform.node()

    def load(self) -> Loaded | Refused:
        """Load the model and read the records of the benchmark."""
        try:
            return Loaded(self._load(), platform.node())
        except UserError as error:
            return Refused(str(error), platform.node())

    def _load(self) -> Settings:
        import torch

        from infinipot_v.evaluate.field.running import settings_of

        if not torch.cuda.is_available():  # workers share the cores
            torch.set_num_threads(1)
        job = self._job
        self._benchmark = job.kind(job.data, job.recipe, limit=job.limit)
        self._model = job.make()
        return _plain(settings_of(self._benchmark, self._model))

    def watch(self, item: Item, contenders: Sequence[Contender]) -> Watched | Refused:
        """All contenders watch one video."""
        from infinipot_v.evaluate.runner import records_of_all

        units: list[tuple[Unit, Sequence[Record]]] = []
        try:
            if item not in self._benchmark.items():
                raise UserError(f"{item.name} is not in {self._job.data}: every machine must have the same folder there")
            units += records_of_all(self._benchmark, self._model, contenders, item)
        except BrokenVideo as error:
            return Watched(units, str(error))
        except UserError as error:
            return Refused(str(error), platform.node())
        return Watched(units)


def _plain(settings: Settings) -> Settings:
    """As a log keeps them."""
    plain: Settings = json.loads(json.dumps(settings))
    return plain


# In the driver -------------------------------------------------------------------------------------------------------


class Run:
    """What is to be done, what came back, and the log, which is opened when the first worker is ready."""

    def __init__(
        self,
        benchmark: FieldBenchmark,
        contenders: Sequence[Contender],
        items: Sequence[Item],
        opened: Callable[[Settings], RecordLog],
        crew: Crew,
        progress: Progress,
        note: Callable[[str], None],
    ) -> None:
        self._benchmark, self._contenders, self._items, self._opened = benchmark, contenders, items, opened
        self._crew, self._progress, self._note = crew, progress, note
        self._settings: Settings | None = None
        self._todo: deque[Todo] = deque()
        self._open = 0
        self._done = self._total = 0
        self._deaths: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self._settings is not None and not self._open

    def step(self) -> None:
        """Wait until one worker has done something, take it, and give it the next video; without one it may go."""
        worker, todo, outcome = self._crew.next()
        if isinstance(outcome, Refused):
            raise outcome.error()
        if isinstance(outcome, Dead):
            return self._replace(todo, outcome)
        if isinstance(outcome, Loaded):
            self._deaths.pop(_name(None), None)
            self._agree(outcome)
        elif todo is not None:
            self._take(todo, outcome)
        if self._todo:
            self._crew.give(worker, self._todo.popleft())
        else:
            self._crew.release(worker)

    def _agree(self, loaded: Loaded) -> None:
        """All must run with the same settings: the first worker's, which opens the log, and the driver's records."""
        if self._settings is None:
            self._settings = {**loaded.settings, **_plain(self._benchmark.settings)}
            self._check(loaded)
            self._begin(self._opened(loaded.settings))
        self._check(loaded)

    def _check(self, loaded: Loaded) -> None:
        if differing := differences(loaded.settings, self._settings or {}):
            raise UserError(
                f"{loaded.host} would run with other settings ({', '.join(differing)}): give every machine the same "
                f"versions, the same devices, and the same records in {self._benchmark.data.absolute()}"
            )

    def _begin(self, log: RecordLog) -> None:
        self.log = log
        log.begin(len(self._items), self._benchmark.left)
        for item in self._items:
            if wanted := [one for one in self._contenders if not log.done((one.policy, one.limit, item.name))]:
                self._todo.append((item, wanted))
        self._open, self._total = len(self._todo), sum(len(wanted) for _, wanted in self._todo)

    def _take(self, todo: Todo, watched: Watched) -> None:
        """Write down what came of a video."""
        item, wanted = todo
        for unit, records in watched.units:
            self.log.write(unit, records)
            self._done += 1
            self._progress(self._done, self._total)
        if watched.broken is not None:
            self.log.leave(self._benchmark.leave_item(item, BrokenVideo(watched.broken)))
            self._total -= len(wanted) - len(watched.units)
        self._open -= 1

    def _replace(self, todo: Todo | None, dead: Dead) -> None:
        """Somebody else takes the place of a dead worker, and its video is the next to be watched."""
        name = _name(todo)
        self._deaths[name] += 1
        if self._deaths[name] == LIVES:
            raise UserError(
                f"{name}: {LIVES} workers in a row have died of it ({dead.why}); without Ray it may say why. What is "
                "done is kept"
            )
        self._note(f"{name}: its worker died ({dead.why}); it is done again")
        if todo is not None:
            self._todo.appendleft(todo)
        self._crew.hire()


def _name(todo: Todo | None) -> str:
    """What a worker is at."""
    return "loading the model" if todo is None else todo[0].name


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
        except (lost.ActorDiedError, lost.ActorUnavailableError, lost.WorkerCrashedError, lost.ObjectLostError) as error:
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
    told = str(error)
    if "memory" in told.lower() and "oom" in told.lower() and "killed due to" in told.lower():
        return "its machine ran out of memory"
    return "its machine is gone" if "node" in told.lower() and "died" in told.lower() else "its process ended"


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


# The cluster ---------------------------------------------------------------------------------------------------------


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield ray, in touch with a cluster. What was begun here ends with the block; what was there before stays.

    Raises `UserError` where ray is missing, and for an address at which there is no cluster.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    _knock(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address)
        yield ray
    finally:
        ray.shutdown()
        with suppress(ValueError):  # of threads other than the main one, where Ray has set no handler either
            signal.signal(signal.SIGTERM, before)


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise UserError("a run over many machines needs ray: pip install 'infinipot-v[ray]'") from error


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        options |= {"include_dashboard": False, "object_store_memory": STORE}
    try:
        with _unreported():
            ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise _unreachable(address, " ".join(str(error).split())) from error


@contextmanager
def _unreported() -> Iterator[None]:
    """A cluster that is started here reports nothing to anybody, whatever the user has said of others."""
    before = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        yield
    finally:
        os.environ.pop("RAY_USAGE_STATS_ENABLED")
        if before is not None:
            os.environ["RAY_USAGE_STATS_ENABLED"] = before


def _knock(address: str) -> None:
    """Find out soon whether anybody listens; Ray itself would take minutes, and then end the process."""
    host, colon, port = address.removeprefix("ray://").rstrip("/").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, why: str) -> UserError:
    if address == LOCAL:
        return UserError(f"Ray cannot start on this machine ({why}): see its logs in /tmp/ray/session_latest/logs")
    return UserError(
        f"no Ray cluster can be reached at {address} ({why}): start one with ray start --head, and give the address "
        "that it names, auto on one of its machines, or local for this machine alone"
    )
