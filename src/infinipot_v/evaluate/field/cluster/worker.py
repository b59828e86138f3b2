"""A worker: one model in a process of its own, which is given a video at a time."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.base import BrokenVideo, Item
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.field.recipes import Recipe
from infinipot_v.evaluate.records import Left, Record, Unit
from infinipot_v.models.base import Model
from infinipot_v.types import UserError

Settings = dict[str, Any]
Todo = tuple[Item, list[Contender]]


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

    units: Sequence[tuple[Unit, Sequence[Record] | Left]]
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
        return plain(settings_of(self._benchmark, self._model))

    def watch(self, item: Item, contenders: Sequence[Contender]) -> Watched | Refused:
        """All contenders watch one video."""
        from infinipot_v.evaluate.runner import records_of_all

        units: list[tuple[Unit, Sequence[Record] | Left]] = []
        try:
            if item not in self._benchmark.items():
                raise UserError(
                    f"{item.name} is not in {self._job.data}: every machine must have the same folder there"
                )
            units += records_of_all(self._benchmark, self._model, contenders, item)
        except BrokenVideo as error:
            return Watched(units, str(error))
        except UserError as error:
            return Refused(str(error), platform.node())
        return Watched(units)


def plain(settings: Settings) -> Settings:
    """As a log keeps them."""
    plain: Settings = json.loads(json.dumps(settings))
    return plain
