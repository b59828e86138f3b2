"""The paper's own numbers (arXiv 2506.15745 v2), for their order: other models, other data.

Nothing here is run. Rows that an experiment of ours has, too, stand beside its rank there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infinipot_v.evaluate.experiments.ablation import ROWS, WHOLE
from infinipot_v.evaluate.experiments.base import Arm, Results, Table

ABLATION: Mapping[str, float] = {
    "uniform": 61.5,
    "TaR, reversed": 55.5,
    "TaR by whole frame": 62.9,
    "TaR": 64.5,
    "VaN, reversed": 55.0,
    "VaN": 63.0,
    "VaN + pooling": 64.1,
    WHOLE: 65.8,
    "full cache": 65.9,
}
"""MLVU at 6K, Qwen2-VL-7B."""
METHODS = (
    ("uniform, 6K", "58.1", "57.0", "55.8"),
    ("SnapKV, 6K", "59.6", "60.7", "55.2"),
    ("InfiniPot, 6K", "60.5", "59.1", "54.6"),
    ("InfiniPot-V, 3K", "61.1", "64.7", "57.6"),
    ("InfiniPot-V, 6K", "62.8", "65.8", "58.4"),
    ("InfiniPot-V, 12K", "63.6", "66.0", "59.2"),
    ("InfiniPot-V, 24K", "63.5", "65.7", "58.9"),
    ("full cache, 50K", "63.9", "65.8", "58.8"),
)
"""VideoMME, MLVU, LongVideoBench; Qwen2-VL-7B."""
KEEP = (("0.75", "65.8"), ("0.5", "63.3"), ("0.25", "60.3"))
"""|C|/|M|, MLVU at 6K."""
READING = (
    "Other model, other data: compare the order, not the values. alpha is best there at 0.4 to 0.6, r at or below a "
    "quarter of the memory."
)


def tables(arms: Sequence[Arm], results: Results) -> Sequence[Table]:
    """The ablation with both ranks, methods x budgets, and |C|/|M|. `arms` are the ablation's."""
    here = {arm.label: results.score(arm).accuracy for arm in arms if results.score(arm).n}
    lines = [
        (row, f"{value}", str(rank(ABLATION, row)), str(rank(here, row)) if row in here else "-")
        for row, value in ABLATION.items()
    ]
    return [
        Table(("ablation row", "MLVU at 6K, %", "rank there", "rank here"), lines),
        Table(("method", "VideoMME, %", "MLVU, %", "LongVideoBench, %"), METHODS),
        Table(("keep", "MLVU at 6K, %"), KEEP),
    ]


def rank(values: Mapping[str, float], row: str) -> int:
    """1 for the highest; equals share a rank."""
    return 1 + sum(value > values[row] for value in values.values())


assert ABLATION.keys() == ROWS.keys(), "the paper's table and ours have the same rows"
