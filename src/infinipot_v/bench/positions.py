"""What it costs to turn keys when they are read: compact positions against original ones, token by token."""

from __future__ import annotations

from infinipot_v.bench.answer import asked, filled, rates, write_rate
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.subject import Subject


def measure(subject: Subject, notebook: Notebook) -> None:
    """Decode from two full memories in turns, one with compact positions and one with original ones."""
    tokens = subject.sizes.budget + 2 * subject.step_tokens
    sessions = {name: filled(subject, tokens, positions=name) for name in ("original", "compact")}
    speeds = {name: rates(answers) for name, answers in asked(subject, sessions).items()}
    for name in sessions:
        write_rate(notebook, name, speeds[name])
    pairs = list(zip(speeds["compact"], speeds["original"], strict=False))
    if pairs:
        notebook.row("compact-costs-a-token", [1000 / ours - 1000 / theirs for ours, theirs in pairs], "ms")
        notebook.ratio("tokens-per-second, compact over original", speeds["compact"], speeds["original"])
