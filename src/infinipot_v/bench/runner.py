"""Measuring what a result does not hold yet, part by part; what stops a part does not stop the others."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from infinipot_v.bench.meter import free, out_of_memory
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.plan import Case, Plan
from infinipot_v.bench.rows import Result, Row, same_settings
from infinipot_v.bench.timing import Deadline, TimeUp, threads
from infinipot_v.types import UserError


def begin(plan: Plan, folder: Path | None) -> Result:
    """An empty result, or what an earlier run has left in `folder`.

    Raises `UserError` when that was made with other settings: rows of two settings are never mixed.
    """
    path = folder / f"{plan.stem}.json" if folder else None
    if path is None or not path.exists():
        return Result(plan.settings)
    before = Result.read(path)
    differing = same_settings(before.settings, plan.settings)
    if differing:
        raise UserError(
            f"{path} was measured with other settings ({', '.join(differing)}): name another folder (--out)"
        )
    return before


def run(plan: Plan, result: Result, told: Callable[[Row], None] = lambda row: None) -> bool:
    """Measure what `result` does not hold yet, in place; `told` is called with every row. Returns whether all is in.

    Time that is up, memory that is not enough and errors end a part, not the run: `result.unfinished` says why.
    """
    end = Deadline.after(plan.seconds)
    missing = [(case, _missing(plan, case, result)) for case in plan.cases]
    missing = [(case, parts) for case, parts in missing if parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (case, parts) in enumerate(missing):
            with threads(case.threads(plan)):
                _run_case(plan, case, parts, end.share(len(missing) - number), result, told)
            free(plan.device)
    return all(not _missing(plan, case, result) for case in plan.cases)


def _missing(plan: Plan, case: Case, result: Result) -> list[str]:
    return [name for name in plan.measures_of(case) if f"{case.name}/{name}" not in result.done]


def _run_case(
    plan: Plan, case: Case, measures: list[str], end: Deadline, result: Result, told: Callable[[Row], None]
) -> None:
    """All measures of one case; what it builds lives no longer than this."""
    subject = None
    for name in measures:
        part = f"{case.name}/{name}"
        result.forget(part)
        try:
            end.check()
            subject = subject or case.build(plan, end, result)
            plan.bench.measures[name](subject, Notebook(result, part, told))
            result.done.append(part)
            continue
        except Exception as error:  # a part that fails must not take the others with it
            reason = _reason(error)
        # Only here is the traceback gone, which held the tensors of the failed part.
        free(plan.device)
        result.unfinished[part] = reason
        told(Row.missing(part, "", reason))


def _reason(error: Exception) -> str:
    """One line; the traceback of what nobody foresaw goes to standard error."""
    if isinstance(error, TimeUp):
        return "no time left"
    if out_of_memory(error):
        return "out of memory"
    if not isinstance(error, UserError):
        traceback.print_exception(error, file=sys.stderr)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{'refused' if isinstance(error, UserError) else 'failed'}: {type(error).__name__}: {first}"
