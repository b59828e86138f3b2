"""The driver of a run: what is to be done, what came back, and the log, of which it is the only writer."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from infinipot_v.evaluate.base import BrokenVideo, Item
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.field.cluster.connecting import LOCAL, connected
from infinipot_v.evaluate.field.cluster.crew import Crew, Dead, crew_of
from infinipot_v.evaluate.field.cluster.worker import Job, Loaded, Refused, Settings, Todo, Watched, plain
from infinipot_v.evaluate.field.shards import Shard
from infinipot_v.evaluate.records import RecordLog, differences
from infinipot_v.evaluate.runner import Progress
from infinipot_v.models.base import Model
from infinipot_v.types import UserError

LIVES = 3
"""So many workers in a row may die of one video."""


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
            self._settings = {**loaded.settings, **plain(self._benchmark.settings)}
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
            self.log.take(unit, records)
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
