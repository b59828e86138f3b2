"""Runs what the records do not hold yet: stream by stream, so that pictures and vision are made once for all arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from infinipot_v.evaluate.experiments.base import Arm, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.streams import Pictures, Spec
from infinipot_v.evaluate.records import RecordLog, Unit
from infinipot_v.evaluate.runner import records_of
from infinipot_v.evaluate.sharing import SharedVision
from infinipot_v.models.base import Model
from infinipot_v.types import UserError

Progress = Callable[[int, int], None]
Todo = dict[Spec, dict[Unit, Arm]]


def run_experiments(
    experiments: Sequence[Experiment],
    scale: Scale,
    model: Model,
    log: RecordLog,
    progress: Progress = lambda done, total: None,
) -> Results:
    """Fill the log and return its results. `progress` is told of steps watched, of those to watch as far as known.

    A unit (an arm's policy and share on one stream) is run once, however many experiments want it. Settings that are
    chosen in development are known only when all trials are run, so what is left is asked for again until it is none.
    """
    shared: Any = SharedVision(model)
    done = 0
    while todo := to_run(experiments, scale, log):
        total = done + sum(spec.steps * len(arms) for spec, arms in todo.items())
        benchmark = Pictures(list(todo))
        for spec, arms in todo.items():
            item = benchmark.item(spec)
            if not item.questions:
                raise UserError(f"stream {item.name} offers no question: give longer streams")
            shared.forget()
            for unit, arm in arms.items():
                log.write(unit, list(records_of(benchmark, shared, arm.contender, item)))
                done += spec.steps
                progress(done, total)
    return Results(log.records())


def to_run(experiments: Sequence[Experiment], scale: Scale, log: RecordLog) -> Todo:
    """What the log does not hold whole, by stream, in an order that does not depend on what it holds.

    Raises `UserError` for an arm that cannot take part.
    """
    results, todo = Results(log.records()), Todo()
    for experiment in experiments:
        for arm in experiment.arms(scale, results):
            _ = arm.contender  # a name that there is not is said before the long work
            for spec in arm.specs:
                wanted = todo.setdefault(spec, {})
                if not log.done(arm.unit(spec)):
                    wanted.setdefault(arm.unit(spec), arm)
    return {spec: wanted for spec, wanted in todo.items() if wanted}
