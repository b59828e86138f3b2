"""The results on paper: one JSON for machines, one Markdown file for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from infinipot_v.evaluate.experiments import paper
from infinipot_v.evaluate.experiments.base import Arm, Cut, Experiment, Results
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.streams import STEP_TOKENS, TURNS
from infinipot_v.evaluate.experiments.tables import markdown
from infinipot_v.evaluate.records import Record
from infinipot_v.evaluate.rows import as_json as plain
from infinipot_v.evaluate.rows import rows_of

NO_RESULT = (
    "**This was a quick run.** It shows that every experiment runs. Streams are few and short, and a memory of three "
    "steps protects no recent one, so that TaR has nothing to compare with: read no result from it."
)
Settings = dict[str, Any]


def as_json(experiments: Sequence[Experiment], scale: Scale, results: Results, settings: Settings) -> dict[str, Any]:
    """`rows`: the test streams by kind and delay; `experiments`: rows with their labels; `trials`; `settings`."""
    arms = {experiment.name: list(experiment.arms(scale, results)) for experiment in experiments}
    told = {experiment.name: _experiment(experiment, arms[experiment.name], results) for experiment in experiments}
    return {
        "rows": plain(rows_of(test_records(arms.values(), scale, results))),
        "experiments": told,
        "trials": told["trials"]["notes"] if "trials" in told else {},
        "paper": {"ablation": dict(paper.ABLATION), "reading": paper.READING},
        "settings": settings,
    }


def test_records(arms: Iterable[Sequence[Arm]], scale: Scale, results: Results) -> list[Record]:
    """The world's own questions to everybody on the test streams, each contender once."""
    alike = {arm.unit(arm.specs[0])[:2]: arm for some in arms for arm in some if arm.specs == scale.test_streams}
    own = Cut("all", "all", lambda record: record.kind not in TURNS)
    return [record for arm in alike.values() for record in results.records(arm, own)]


def _experiment(experiment: Experiment, arms: Sequence[Arm], results: Results) -> dict[str, Any]:
    rows = [_row(experiment, arm, cut, arms, results) for arm in arms for cut in experiment.cuts]
    return {
        "title": experiment.title,
        "reading": experiment.reading,
        "baseline": experiment.baseline,
        "rows": rows,
        "notes": dict(experiment.notes(arms, results)),
    }


def _row(experiment: Experiment, arm: Arm, cut: Cut, arms: Sequence[Arm], results: Results) -> dict[str, Any]:
    row = {
        "label": arm.label,
        "condition": arm.condition,
        "policy": arm.policy,
        "budget_fraction": round(float(arm.share), 6),
        "kind": cut.kind,
        "delay": cut.delay,
        **_rounded(asdict(results.score(arm, cut))),
        "streams": len(arm.specs),
        "held_tokens": results.held(arm),
    }
    base = next(
        (other for other in arms if (other.label, other.condition) == (experiment.baseline, arm.condition)), arm
    )
    if base is not arm:
        gap = results.difference(arm, base, cut)
        row["minus_baseline"] = _rounded({"points": gap.difference, "low": gap.low, "high": gap.high, "n": gap.n})
    return row


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def as_markdown(experiments: Sequence[Experiment], scale: Scale, results: Results, settings: Settings) -> str:
    """Every experiment: its title, how to read it, its tables; the paper's own numbers last, apart."""
    arms = {experiment.name: list(experiment.arms(scale, results)) for experiment in experiments}
    parts = [_opening(scale, settings)]
    for experiment in experiments:
        tables = (markdown(table) for table in experiment.tables(arms[experiment.name], results))
        parts.append("\n".join((f"## {experiment.title}\n", f"{experiment.reading}\n", *tables)))
    theirs = (markdown(table) for table in paper.tables(arms.get("ablation", []), results))
    parts.append("\n".join(("## The paper's own numbers\n", f"{paper.READING}\n", *theirs)))
    return "\n".join(parts)


def _opening(scale: Scale, settings: Settings) -> str:
    """What was run, and what an accuracy means."""
    first, behind = scale.test
    return (
        f"# Experiments on the embedded world\n\n"
        f"`infinipot-v eval pocket --ablations{' --quick' if scale.name == 'quick' else ''}`, world "
        f"`{settings['world']}`, model `{settings['model']}`. Test streams {first} to {behind - 1}, {scale.steps} "
        f"steps of two seconds, {scale.steps * STEP_TOKENS:,} tokens a layer and head; |M| is 1/16 of that where "
        "nothing else is said.\n\n"
        "An accuracy is of questions whose answer has left the picture, with Wilson's 95 % interval. A difference is "
        "paired, question by question, and its interval is a bootstrap over streams: where it does not hold 0, the two "
        "rows differ.\n" + ("" if scale.name == "full" else f"\n{NO_RESULT}\n")
    )
