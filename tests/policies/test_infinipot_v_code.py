"""The research code's slot arithmetic against loops, and where that code crashes."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.policies.infinipot_v_code import InfiniPotVCode, pool_by_quarter, slot_labels
from infinipot_v.policies.scores import van_scores
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.policies.views import check_selection, make_view, many, tokens_of, views_and_keep

SHARES = st.sampled_from((0.0, 0.25, 0.5, 0.75, 1.0))


@many
@given(views_and_keep(), SHARES, SHARES, st.sampled_from(("off", "quarters")), st.integers(1, 9), st.data())
def test_equals_the_oracle(view_keep, alpha, recent, pooling, num_layers, data):
    view, keep = view_keep
    view = replace(view, num_layers=num_layers, layer=data.draw(st.integers(0, num_layers - 1)))
    kept = InfiniPotVCode(alpha, recent, pooling).select(view, keep)
    check_selection(kept, view, keep)
    assert kept.tolist() == oracle.infinipot_v_code(view, keep, alpha, recent, pooling)


@pytest.mark.parametrize("slots", [1, 7, 18, 29])
def test_pooling_by_quarter_counts_the_padding(slots):
    labels = [[token for step in range(5) for token in tokens_of(step, (2, 3), 0)][-slots:]] * 2
    for layer in range(6):
        view = replace(make_view(labels, (2, 3), random.Random(slots)), layer=layer, num_layers=6)
        frames, columns = slot_labels(view)
        norms = van_scores(view.values)
        for got, head in zip(pool_by_quarter(norms, view), norms, strict=True):
            expected = oracle.quarter_pool(head.tolist(), frames[0].tolist(), columns[0].tolist(), view)
            assert got.tolist() == pytest.approx(expected)


def test_on_intact_frames_it_is_the_paper():
    """Before any compaction slot arithmetic and true cells agree."""
    labels = [[token for step in range(8) for token in tokens_of(step, (2, 3), 0)]] * 2
    view = make_view(labels, (2, 3), random.Random(5))
    for keep in range(view.slots + 1):
        ours = InfiniPotV(0.5, 0.25, pooling="off").select(view, keep)
        assert torch.equal(InfiniPotVCode(0.5, 0.25).select(view, keep), ours)


@pytest.mark.parametrize("slots", [1, 5, 6, 11, 13])
@pytest.mark.parametrize("recent", [0.01, 1.0])
def test_it_survives_what_crashes_the_research_code(slots, recent):
    """alpha keep < r p, r rounds to 0, fewer slots than a frame, a broken first frame, layers not a multiple of 4."""
    labels = [(tokens_of(0, (2, 3), 0) + tokens_of(1, (2, 3), 0) + tokens_of(2, (2, 3), 0))[-slots:]]
    for layer in range(7):
        view = replace(make_view(labels, (2, 3), random.Random(1)), layer=layer, num_layers=7)
        for keep in range(slots + 1):
            check_selection(InfiniPotVCode(0.1, recent, "quarters").select(view, keep), view, keep)


@pytest.mark.parametrize("options", [{"alpha": 2}, {"recent": None}, {"pooling": "adaptive"}])
def test_bad_options_are_user_errors(options):
    with pytest.raises(UserError, match=f"^{next(iter(options))}="):
        InfiniPotVCode(**options)
