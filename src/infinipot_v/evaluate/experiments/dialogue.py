"""Five questions at the end of one stream: what a memory that was kept for one of them knows of the other four."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infinipot_v.evaluate.experiments.base import OURS, TOLD, Arm, Cut, Experiment, Results, Table, score_of
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.streams import TURNS
from infinipot_v.evaluate.experiments.tables import accuracy, points
from infinipot_v.evaluate.records import Record
from infinipot_v.evaluate.statistics import Difference, paired_difference

KNOWING = "snapkv, knows the first"
ROWS = {"full cache": "full", OURS: OURS, "snapkv": "snapkv", "uniform": "uniform"}
ASKED = Cut("turns", "delayed", lambda record: record.kind in TURNS)
APART = 1000
"""More than the questions of a stream: keeps the indices of several arms apart."""


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """Memories that know no question, and one that is kept for each of the five in turn."""
    agnostic = [Arm(label, policy, scale.test_streams) for label, policy in ROWS.items()]
    return agnostic + [Arm(KNOWING, f"snapkv{TOLD}{turn}", scale.test_streams, condition=turn) for turn in TURNS]


def tables(arms: Sequence[Arm], results: Results) -> Sequence[Table]:
    """A line a memory. One that knows no question has one number: any of the five may come first."""
    lines = []
    for arm in arms:
        if not arm.condition:
            score = accuracy(results.score(arm, ASKED))
            lines.append((arm.label, score, score, "-"))
    known, others = told([arm for arm in arms if arm.condition], results)
    lines.append((KNOWING, accuracy(score_of(known)), accuracy(score_of(others)), points(drop(known, others))))
    head = ("memory", "first question, %", "other four, %", "difference, points")
    note = f"n = {len(known)} first questions and {len(others)} others: every question of a stream is the first once."
    return [Table(head, lines, note)]


def told(arms: Sequence[Arm], results: Results) -> tuple[list[Record], list[Record]]:
    """Records of the question that an arm knew (its condition), and of the others; one numbering for all arms."""
    known: list[Record] = []
    others: list[Record] = []
    for number, arm in enumerate(arms):
        for record in results.records(arm, ASKED):
            where = known if record.kind == arm.condition else others
            where.append(replace(record, index=APART * number + record.index))
    return known, others


def drop(known: Sequence[Record], others: Sequence[Record]) -> Difference:
    """The others minus the known one, each beside the known one of its own stream and arm."""
    beside = {(record.item, record.index // APART): record for record in known}
    first = [
        replace(beside[key], index=record.index)
        for record in others
        if (key := (record.item, record.index // APART)) in beside
    ]
    return paired_difference(others, first, ("the other four", "the first"))


EXPERIMENT = Experiment(
    name="dialogue",
    title="Five questions, one memory",
    reading="At the end of each stream five questions about five different things. `snapkv, knows the first` is "
    "SnapKV whose window is the text of one of them all the while it watches; every question is that one "
    "once. It must do well on it and worse on the other four; a memory that knows no question has nothing "
    "to lose. Questions are asked on their own: this model was trained on two turns, and what a longer "
    "dialogue costs it is not the memory's doing.",
    arms=arms,
    tables=tables,
    cuts=(ASKED,),
)
