"""What an experiment is: rows to run, and how they are read. One file each beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from infinipot_v.evaluate.base import Item, Manner
from infinipot_v.evaluate.contenders import Contender
from infinipot_v.evaluate.experiments.scale import SHARE, Scale
from infinipot_v.evaluate.experiments.streams import TURNS, Spec
from infinipot_v.evaluate.records import Record, Unit
from infinipot_v.evaluate.statistics import Difference, paired_difference, wilson
from infinipot_v.evaluate.watchers import Watcher
from infinipot_v.models.base import Model

OURS = "infinipot-v"
TOLD = "+question="
ALONE = ("full", "last-frames", "blind")
"""Contenders without a share to choose: they take part once, at 1."""


class Informed(Contender):
    """A contender whose policy is told, before it watches, one of the five questions at the end.

    Its `policy` says which: the option `question` is a turn, as in `snapkv+question=turn 1`.
    """

    def watcher(self, model: Model, item: Item, manner: Manner) -> Watcher:
        """Open a memory for a stream, the policy's `question` set to the text of that turn."""
        policy, _, turn = self.policy.rpartition(TOLD)
        text = next((asked.text for asked in item.questions if asked.kind == turn), "?")
        return Contender(policy + TOLD + text, self.fraction).watcher(model, item, manner)


@dataclass(frozen=True)
class Arm:
    """One row of an experiment: a contender (see `Contender`) and the streams that it watches.

    Arms of one `condition` are compared with each other; they watch the same streams.
    """

    label: str
    policy: str
    specs: tuple[Spec, ...]
    fraction: Fraction = SHARE
    condition: str = ""

    @property
    def contender(self) -> Contender:
        """Raises `UserError` for a policy or an option that there is not."""
        informed = self.policy.rpartition(TOLD)[2] in TURNS
        return (Informed if informed else Contender)(self.policy, self.share)

    @property
    def share(self) -> Fraction:
        """The share of the full cache that it may hold."""
        return Fraction(1) if self.policy in ALONE else self.fraction

    def unit(self, spec: Spec) -> Unit:
        """What its records of one stream are filed under. Arms of several experiments may share it."""
        return self.policy, float(self.share), spec.name


@dataclass(frozen=True)
class Cut:
    """Which questions count: a name for `kind` and one for `delay` in the results, and the choice itself."""

    kind: str
    delay: str
    chosen: Callable[[Record], bool]


GONE = Cut("all", "delayed", lambda record: record.delay > 0 and record.kind not in TURNS)
"""The world's own questions about what has left the picture."""


@dataclass(frozen=True)
class Score:
    """Accuracy of an arm under a cut, with Wilson's 95 % interval."""

    n: int
    correct: int
    accuracy: float
    low: float
    high: float


def score_of(records: Sequence[Record]) -> Score:
    """Accuracy of records; n = 0 where there are none."""
    right, n = sum(record.correct for record in records), len(records)
    return Score(n, right, right / n if n else 0.0, *wilson(right, n))


class Results:
    """The records of a run, by arm. An arm that was not run has none."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._units: dict[Unit, list[Record]] = {}
        for record in records:
            self._units.setdefault((record.policy, record.budget_fraction, record.item), []).append(record)

    def whole(self, arm: Arm) -> bool:
        """Whether all streams of an arm are recorded."""
        return all(arm.unit(spec) in self._units for spec in arm.specs)

    def records(self, arm: Arm, cut: Cut = GONE) -> list[Record]:
        """What was asked of an arm, over all its streams."""
        found = (record for spec in arm.specs for record in self._units.get(arm.unit(spec), ()))
        return [record for record in found if cut.chosen(record)]

    def score(self, arm: Arm, cut: Cut = GONE) -> Score:
        """Accuracy of an arm, with its interval."""
        return score_of(self.records(arm, cut))

    def difference(self, a: Arm, b: Arm, cut: Cut = GONE) -> Difference:
        """Accuracy of `a` minus that of `b` on the same questions, bootstrapped over streams."""
        return paired_difference(self.records(a, cut), self.records(b, cut), (a.label, b.label))

    def held(self, arm: Arm) -> int:
        """Stream slots filled at most, a layer and head."""
        return max((record.held_tokens for record in self.records(arm)), default=0)


@dataclass(frozen=True)
class Table:
    """A table with few columns. `note` stands below it."""

    head: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]
    note: str = ""


class Tables(Protocol):
    """Lays out an experiment's arms."""

    def __call__(self, arms: Sequence[Arm], results: Results) -> Sequence[Table]: ...


@dataclass(frozen=True)
class Experiment:
    """Rows to run and how they are read.

    `arms(scale, results)` may grow with what is known: it is asked again until nothing of it is left to run.
    `baseline` is the label that others are compared with, within their condition.
    """

    name: str
    title: str
    reading: str
    arms: Callable[[Scale, Results], Sequence[Arm]]
    tables: Tables
    baseline: str = ""
    cuts: tuple[Cut, ...] = (GONE,)
    notes: Callable[[Sequence[Arm], Results], Mapping[str, object]] = field(default=lambda arms, results: {})
