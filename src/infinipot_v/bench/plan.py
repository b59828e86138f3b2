"""What is to be run: a benchmark, its cases and measures, how much of each, and where."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch

from infinipot_v.bench.footage import Footage
from infinipot_v.bench.meter import device_bytes, device_name, device_of
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.rows import Result
from infinipot_v.bench.subject import Sizes
from infinipot_v.bench.timing import Deadline
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

Measure = Callable[[Any, Notebook], None]


class Case(Protocol):
    """What the measures of a benchmark are given, one after the other: mostly a model of one shape."""

    @property
    def name(self) -> str:
        """The first part of every row's name."""

    def measures(self, plan: Plan) -> tuple[str, ...]:
        """What is measured of it unless the user says otherwise."""

    def threads(self, plan: Plan) -> int | None:
        """How many it is measured with; None leaves them as they are."""

    def build(self, plan: Plan, end: Deadline, result: Result) -> Any:
        """The subject; what is known of it goes into `result.settings["shapes"]`."""


@dataclass(frozen=True)
class Bench:
    """One benchmark. `measures` are in the order in which they run; `how` says what a reader must know of each.

    `shapes`, `device`, `layers` and `sizes` are those of a plan that does not say otherwise, `quick` are sizes for
    trying it out. `takes` names the sizes and options that it heeds; where the default budgets are shares of the
    longest stream, `parts` has them: 16 for a sixteenth.
    """

    name: str
    measures: Mapping[str, Measure]
    how: Mapping[str, str]
    cases: Callable[[tuple[str, ...]], tuple[Case, ...]]
    shapes: tuple[str, ...]
    sizes: Sizes
    quick: Sizes
    takes: frozenset[str]
    device: str = "cpu"
    layers: int | None = None
    parts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Without `measures`, each case's own; `seconds` is shared evenly among the cases left."""

    bench: Bench
    cases: tuple[Case, ...]
    device: torch.device
    sizes: Sizes
    measures: tuple[str, ...] | None = None
    layers: int | None = None
    seconds: float | None = None
    threads: int | None = None
    footage: Footage | None = None
    limit: int | None = None

    @classmethod
    def of(
        cls,
        bench: Bench,
        shapes: Sequence[str] = (),
        measures: Sequence[str] = (),
        device: str | None = None,
        layers: int | None = None,
        seconds: float | None = None,
        sizes: Sizes | None = None,
        **more: Any,
    ) -> Plan:
        """A plan from names. Raises `UserError` for an unknown one, a device that is not there, a number below 1."""
        for name in measures:
            if name not in bench.measures:
                raise UserError(f"unknown measure {name!r}{did_you_mean(name, bench.measures)}; there are: "
                                f"{', '.join(bench.measures)}")  # fmt: skip
        if (layers is not None and layers < 1) or (seconds is not None and not seconds > 0):
            raise UserError("layers are at least 1, and the seconds above 0")
        if more.get("threads") is not None and more["threads"] < 1:
            raise UserError("threads are at least 1")
        cases = bench.cases(tuple(shapes or bench.shapes))
        place = device_of(device or bench.device)
        layers = bench.layers if layers is None else layers
        return cls(bench, cases, place, sizes or bench.sizes, tuple(measures) or None, layers, seconds, **more)

    def watching(self, footage: Footage) -> Plan:
        """The same plan with a real video."""
        return replace(self, footage=footage)

    def measures_of(self, case: Case) -> tuple[str, ...]:
        """What is measured of a case."""
        return self.measures or case.measures(self)

    @property
    def settings(self) -> dict[str, Any]:
        """What every row depends on; `shapes` fills up as they are built."""
        return {
            "benchmark": self.bench.name, "device": device_name(self.device),
            "device_bytes": device_bytes(self.device), "versions": _versions(), "layers": self.layers,
            "threads": self.threads, "sizes": self.sizes_heeded,
            "footage": self.footage.about if self.footage else None, "memory_limit": self.limit,
            "how": dict(self.bench.how), "shapes": {},
        }  # fmt: skip

    @property
    def sizes_heeded(self) -> dict[str, Any]:
        """The sizes that this benchmark depends on."""
        return {name: value for name, value in asdict(self.sizes).items() if name in self.bench.takes}

    @property
    def stem(self) -> str:
        """The name of the files, without their endings."""
        return f"{self.bench.name}-{re.sub('[^a-z0-9]+', '-', device_name(self.device).lower()).strip('-')}"

    @property
    def title(self) -> str:
        """The heading of what is written."""
        return f"bench {self.bench.name}: {device_name(self.device)}"


def _versions() -> dict[str, str | None]:
    import transformers

    from infinipot_v import __version__

    return {
        "infinipot_v": __version__, "torch": torch.__version__, "transformers": transformers.__version__,
        "cuda": torch.version.cuda, "python": platform.python_version(),
    }  # fmt: skip
