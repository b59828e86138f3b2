"""keydiff against loops, its options, and its streaming."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given

from infinipot_v import grain
from infinipot_v.policies.keydiff import KeyDiff, distinctness
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.policies.views import check_selection, make_view, many, tokens_of, views, views_and_keep

SHARES = st.sampled_from((0.0, 0.25, 0.5, 1.0))


@many
@given(views_and_keep(), SHARES)
def test_equals_the_oracle(view_keep, recent):
    view, keep = view_keep
    kept = KeyDiff(recent).select(view, keep)
    check_selection(kept, view, keep)
    assert kept.tolist() == oracle.keydiff(view, keep, recent)


@many
@given(views(exact=False))
def test_the_order_is_that_of_cosines_to_the_mean_direction(view):
    got, keys = distinctness(view.keys, view.steps), view.keys.float()
    mean = F.normalize(keys, dim=-1).mean(dim=1, keepdim=True)
    cosines = F.cosine_similarity(keys, mean, dim=-1)
    torch.testing.assert_close(got, -cosines * mean.norm(dim=-1) * view.slots, atol=1e-4, rtol=0)
    assert got.dtype == torch.float32


def test_what_points_elsewhere_stays_however_long_it_is():
    view = make_view([tokens_of(0, (1, 5), 0)], (1, 5), random.Random(0))
    view = replace(view, keys=torch.tensor([[[0.0, 2], [0, 1], [9, 0], [0, 3], [0.1, 0.1]]]))
    kept = [KeyDiff().select(view, keep).tolist()[0] for keep in (1, 2, 3)]
    assert kept == [[2], [2, 3], [1, 2, 3]]
    assert KeyDiff(recent=0.5).select(view, 2).tolist() == [[2, 4]]
    assert KeyDiff(recent=1.0).select(view, 2).tolist() == [[3, 4]]


def test_content_keys_are_compared_when_offered():
    """As they lie, the last one differs; with their rotation undone, the second."""
    view = make_view([[(step, 0) for step in range(4)]], (1, 1), random.Random(0))
    view = replace(view, keys=torch.tensor([[[0.0, 1], [0, 1], [0, 1], [1, 0]]]))

    def content(keys, steps):
        return torch.where((steps % 2 == 1)[..., None], keys.flip(-1), keys)

    offered = replace(view, content=content)
    assert KeyDiff().select(offered, 1).tolist() == [[3]]
    assert KeyDiff(keys="content").select(offered, 1).tolist() == [[1]]
    assert KeyDiff(keys="content").select(view, 1).tolist() == [[3]]


def test_streaming_changes_nothing(monkeypatch):
    labels = [[token for step in range(8) for token in tokens_of(step, (2, 3), 1)]] * 3
    view = make_view(labels, (2, 3), random.Random(0), dim=8, dtype=torch.bfloat16, exact=False)
    whole = distinctness(view.keys, view.steps)
    monkeypatch.setattr(grain, "CORE", replace(grain.CORE, chunk=5 * 3 * 8))
    torch.testing.assert_close(distinctness(view.keys, view.steps), whole)


@pytest.mark.parametrize("options", [{"recent": 1.5}, {"recent": True}, {"keys": "raw"}])
def test_bad_options_are_user_errors(options):
    with pytest.raises(UserError, match=f"^{next(iter(options))}="):
        KeyDiff(**options)
