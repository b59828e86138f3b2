"""A long stream: both sessions are measured over whole periods, at the same fill."""

from __future__ import annotations

import pytest

from infinipot_v.bench import flat
from infinipot_v.bench.flat import Runner


@pytest.mark.parametrize("family", ["qwen2_vl", "smolvlm"])
def test_rows_and_ratios(subject, pages, family):
    notebook, row, result = pages
    flat.measure(subject(family), notebook)
    late, early = row("step-60"), row("step-6")
    assert late.n == early.n == 2 and early.note.split("; ")[1].split(",")[0] == late.note.split("; ")[1].split(",")[0]
    steps = [int(found.note.rpartition(" ")[2]) for found in (late, early)]
    assert steps[0] >= 60 > steps[1] >= 6
    for what in ("nbytes", "held", "peak"):
        assert row(f"step-60/{what}").median > 0
    assert result.ratios["s/m/nbytes, step 60 over step 6"] == 1
    assert result.ratios["s/m/milliseconds a step, step 60 over step 6"] > 0


def test_a_period_ends_behind_a_compaction(subject):
    runner = Runner(subject())
    runner.until(20)
    held, before = runner.session.report().held_tokens, runner.session.report().compressions
    _, steps = runner.period()
    after = runner.session.report()
    assert after.held_tokens == held and after.compressions == before + 1
    assert steps == runner.period()[1] >= 1
