"""TaR alone: against loops, as `infinipot-v` with alpha = 1, reversed, and by whole frame."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from infinipot_v import grain
from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.policies.tar import TaR, step_means
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.policies.views import GRIDS, check_selection, make_view, many, random_labels, tokens_of, views_and_keep

RECENT = st.sampled_from((0.0, 0.125, 0.29, 0.5, 1.0))


@many
@given(views_and_keep(), RECENT, st.booleans())
def test_equals_the_oracle(view_keep, recent, reverse):
    view, keep = view_keep
    kept = TaR(recent, reverse=reverse).select(view, keep)
    check_selection(kept, view, keep)
    assert kept.tolist() == oracle.tar_alone(view, keep, recent, "token", reverse)


@many
@given(views_and_keep(), RECENT, st.booleans())
def test_by_frame_equals_the_oracle(view_keep, recent, reverse):
    """With a power of two of recent steps all means are exact, so ties are true ties."""
    view, keep = view_keep
    if len(oracle.recent_steps(view, keep, 1.0, recent)).bit_count() > 1:
        return
    kept = TaR(recent, by="frame", reverse=reverse).select(view, keep)
    check_selection(kept, view, keep)
    assert kept.tolist() == oracle.tar_alone(view, keep, recent, "frame", reverse)


@many
@given(st.integers(0, 2**32), st.sampled_from(GRIDS), RECENT)
def test_without_text_it_is_infinipot_v_with_alpha_1(seed, grid, recent):
    """Where recent steps are whole, as in a session; it counts its picks as if they were."""
    rng, p = random.Random(seed), grid[0] * grid[1]
    old, fresh = ([token for step in steps for token in tokens_of(step, grid, 0)] for steps in (range(6), range(6, 9)))
    held = rng.randint(0, len(old))
    labels = [[old[i] for i in sorted(rng.sample(range(len(old)), held))] + fresh for _ in range(3)]
    view = make_view(labels, grid, rng, exact=False, fresh_steps=3)
    keep = rng.randint(p, view.slots)
    whole = InfiniPotV(alpha=1.0, recent=recent)
    if len(whole.recent_steps(view, keep)):
        assert torch.equal(TaR(recent).select(view, keep), whole.select(view, keep))


@many
@given(views_and_keep(exact=False), RECENT, st.sampled_from(("token", "frame")), st.booleans())
def test_the_recent_steps_stay_in_any_case(view_keep, recent, by, reverse):
    view, keep = view_keep
    newest = oracle.recent_steps(view, keep, 1.0, recent)
    kept = TaR(recent, by, reverse).select(view, keep)
    for h, (steps, cells) in enumerate(zip(view.steps.tolist(), view.cells.tolist(), strict=True)):
        protected = {i for i, (t, c) in enumerate(zip(steps, cells, strict=True)) if t in newest and c >= 0}
        assert protected <= set(kept[h].tolist())


KEYS = torch.tensor([[[1.0, 0], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 0], [1, 0]]])
"""Four steps of two cells; now is the last one."""


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [2, 4, 6, 7]),
        ({"reverse": True}, [3, 5, 6, 7]),
        ({"by": "frame"}, [4, 5, 6, 7]),
        ({"by": "frame", "reverse": True}, [0, 1, 6, 7]),
    ],
)
def test_what_stays_of_the_past(options, kept):
    view = make_view([[token for step in range(4) for token in tokens_of(step, (1, 2), 0)]], (1, 2), random.Random(0))
    view = replace(view, keys=KEYS, fresh_steps=1)
    assert TaR(0.25, **options).select(view, 4).tolist() == [kept]


def test_without_a_present_the_newest_stay():
    view = make_view([[token for step in range(4) for token in tokens_of(step, (1, 2), 0)]], (1, 2), random.Random(0))
    assert TaR(recent=0.1).select(view, 3).tolist() == [[5, 6, 7]]


def test_content_keys_are_compared_when_offered():
    view = make_view([[(step, 0) for step in range(3)]], (1, 1), random.Random(0), fresh_steps=1)
    view = replace(view, keys=torch.tensor([[[0.0, 1], [0, 1], [1, 0]]]))

    def content(keys, steps):
        return torch.where((steps == 1)[..., None], keys.flip(-1), keys)

    offered = replace(view, content=content)
    assert TaR(0.4).select(offered, 2).tolist() == [[1, 2]]
    assert TaR(0.4, tar_keys="content").select(offered, 2).tolist() == [[0, 2]]


def test_step_means_on_many_scattered_steps_use_several_chunks(monkeypatch):
    rng = random.Random(3)
    view = make_view(random_labels(rng, (5, 7), 3), (5, 7), rng)
    worth = torch.rand(view.steps.shape, generator=torch.Generator().manual_seed(0))
    worth[view.cells % 3 == 2] = -torch.inf
    worth[view.cells < 0] = -torch.inf
    whole = step_means(worth, view.steps, view.cells, 35)
    for head, (row, steps) in enumerate(zip(worth, view.steps, strict=True)):
        for slot, score in enumerate(row.tolist()):
            same = row[(steps == steps[slot]) & ~row.isneginf()]
            assert float(whole[head, slot]) == (score if score < 0 else pytest.approx(float(same.mean())))
    monkeypatch.setattr(grain, "CORE", replace(grain.CORE, chunk=3 * 35))
    assert torch.equal(step_means(worth, view.steps, view.cells, 35), whole)


@pytest.mark.parametrize("options", [{"recent": 2}, {"by": "step"}, {"reverse": 1}, {"tar_keys": "raw"}])
def test_bad_options_are_user_errors(options):
    with pytest.raises(UserError, match=f"^{next(iter(options))}="):
        TaR(**options)
