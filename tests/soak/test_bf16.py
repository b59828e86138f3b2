"""How much of the kept set depends on the block size in bf16, where it is rounding that decides near-ties.

In fp32 the block size changes nothing, exactly (asserted). In bf16 this only measures: results/bf16_blocks.json.
"""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from infinipot_v import Session, load_model, make_policy
from infinipot_v.models.base import Model
from tests.families import FAMILIES, small_session
from tests.plain import noise_frames
from tests.soak.record import write_record

BLOCKS = (1, 4, 16)
STEPS = (26, 60, 160)
"""Lengths of the stream: just past the first compaction, and further on."""

BUDGET_STEPS, SEED = 20, 7

Kept = list[list[set[tuple[int, int]]]]
"""The (step, cell) pairs held, by layer and head."""


def watched(model: Model, steps: int, block: int, policy: str = "infinipot-v", **options: int) -> Session:
    """A session that has watched `steps` steps of noise."""
    budget = int(options.pop("budget", BUDGET_STEPS))
    session = small_session(model, budget, make_policy(policy, **options), block=block)
    session.watch(iter(noise_frames(steps * model.frames_per_step, seed=SEED)))
    session.cache.check_integrity()
    return session


def kept(session: Session) -> Kept:
    """What a session holds."""
    assert session.report().compressions > 0
    held = [layer.store.stream()[2:4] for layer in session.cache.capped_layers]
    return [[set(zip(s.tolist(), c.tolist(), strict=True)) for s, c in zip(*pair, strict=True)] for pair in held]


def jaccard(one: Kept, other: Kept) -> float:
    """Shared over all, the mean over layers and heads."""
    pairs = [pair for layers in zip(one, other, strict=True) for pair in zip(*layers, strict=True)]
    return sum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs)


def row(family: str, steps: int, single: Model, half: Model) -> dict[str, object]:
    """Kept sets of one family and stream length, compared."""
    sessions = {block: watched(single, steps, block) for block in BLOCKS}
    fp32 = {block: kept(session) for block, session in sessions.items()}
    bf16 = {block: kept(watched(half, steps, block)) for block in BLOCKS}
    draws = [kept(watched(single, steps, 4, "random", seed=seed)) for seed in (0, 1)]
    return {
        "family": family,
        "steps": steps,
        "compressions": sessions[1].report().compressions,
        "fp32_between_blocks": {f"{a} and {b}": jaccard(fp32[a], fp32[b]) for a, b in combinations(BLOCKS, 2)},
        "bf16_between_blocks": {f"{a} and {b}": jaccard(bf16[a], bf16[b]) for a, b in combinations(BLOCKS, 2)},
        "bf16_against_fp32": {str(block): jaccard(bf16[block], fp32[block]) for block in BLOCKS},
        "chance_two_random_draws": jaccard(*draws),
    }


def rounding(family: str, single: Model, half: Model, steps: int = 100) -> dict[str, object]:
    """Why: how far stored values are apart, relative to their size, layer by layer, when nothing is dropped."""
    stored = {
        (name, block): [
            layer.values.float() for layer in watched(model, steps, block, budget=steps).cache.capped_layers
        ]
        for name, model in (("fp32", single), ("bf16", half))
        for block in (1, 16)
    }
    return {
        "family": family,
        "fp32_block_1_and_16": apart(stored["fp32", 1], stored["fp32", 16]),
        "bf16_block_1_and_16": apart(stored["bf16", 1], stored["bf16", 16]),
        "bf16_against_fp32": apart(stored["fp32", 16], stored["bf16", 16]),
    }


def apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> list[float]:
    """||a - b|| / ||a|| of each layer."""
    return [float(f"{(a - b).norm() / a.norm():.2e}") for a, b in zip(one, other, strict=True)]


@pytest.mark.soak
def test_kept_sets_of_bf16_by_block_size(checkpoint):
    rows, why = [], []
    for family in FAMILIES:
        single, half = (load_model(checkpoint(family), device="cpu", dtype=d) for d in ("float32", "bfloat16"))
        assert next(half.hf.parameters()).dtype is torch.bfloat16
        rows += [row(family, steps, single, half) for steps in STEPS]
        why.append(rounding(family, single, half))
    write_record(
        "bf16_blocks.json",
        settings={
            "models": "tiny, random weights", "device": "cpu", "threads": 1, "policy": repr(make_policy("infinipot-v")),
            "budget_steps": BUDGET_STEPS, "blocks": BLOCKS, "stream": "noise",
            "index": "Jaccard index of kept (step, cell) sets, mean over layers and heads",
        },
        rows=rows,
        relative_difference_of_stored_values=why,
    )  # fmt: skip
    for measured in rows:
        assert set(measured["fp32_between_blocks"].values()) == {1.0}
        shares = [*measured["bf16_between_blocks"].values(), *measured["bf16_against_fp32"].values()]
        assert all(0.0 <= share <= 1.0 for share in shares)
        assert measured["chance_two_random_draws"] < 1.0, "the index must be able to be low"
