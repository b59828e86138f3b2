"""What it costs to turn keys when they are read: compact positions against original ones, token by token."""

from __future__ import annotations

from functools import partial

from infinipot_v.bench.answer import FEEDING_BLOCK, asked, filled, rates
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.subject import Subject


def measure(subject: Subject, notebook: Notebook) -> None:
    """Decode from two full memories in turns, one with compact positions and one with original ones."""
    tokens = subject.sizes.budget + 2 * subject.step_tokens
    sessions = {
        name: filled(subject, partial(subject.session, positions=name, block=FEEDING_BLOCK), tokens)
        for name in ("original", "compact")
    }
    speeds = {name: rates(answers) for name, answers in asked(subject, sessions).items()}
    for name in sessions:
        notebook.row(f"{name}/tokens-per-second", speeds[name], "tokens/s")
    pairs = zip(speeds["compact"], speeds["original"], strict=True)
    notebook.row("compact-costs-a-token", [1000 / ours - 1000 / theirs for ours, theirs in pairs], "ms")
    notebook.ratio("tokens-per-second, compact over original", speeds["compact"], speeds["original"])
