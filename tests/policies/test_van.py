"""VaN alone: against loops, as `infinipot-v` with alpha = 0, and reversed, with and without the cache's scores."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.policies.van import VaN
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.policies.views import check_selection, make_view, many, views_and_keep

LIMITS = (0.2113, 0.3571, 0.5219)
POLICIES = st.builds(VaN, st.sampled_from(("adaptive", "off")), st.just(LIMITS), st.booleans())


@many
@given(views_and_keep(), POLICIES)
def test_equals_the_oracle(view_keep, policy):
    view, keep = view_keep
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    kernel = oracle.kernel_of(view, LIMITS) if policy.pooling == "adaptive" else 1
    assert kept.tolist() == oracle.van_alone(view, keep, kernel, policy.reverse)


@many
@given(views_and_keep(), POLICIES, st.sampled_from((1, 3, 5, 7)))
def test_stored_scores_and_noted_kernels_are_used(view_keep, policy, kernel):
    view, keep = view_keep
    view = replace(view, note={"kernel": kernel})
    kept = policy.select(view, keep).tolist()
    assert kept == oracle.van_alone(view, keep, kernel, policy.reverse)
    stored = replace(view, scores=policy.rescore(view), values=torch.zeros_like(view.values))
    assert policy.select(stored, keep).tolist() == kept


@many
@given(views_and_keep(exact=False), st.sampled_from(("adaptive", "off")))
def test_it_is_infinipot_v_with_alpha_0(view_keep, pooling):
    view, keep = view_keep
    whole = InfiniPotV(alpha=0.0, pooling=pooling)
    assert torch.equal(VaN(pooling).select(view, keep), whole.select(view, keep))
    assert VaN(pooling).calibrate(view) == whole.calibrate(view)


def test_text_is_worth_the_best_of_its_step_in_either_order():
    view = make_view([[(0, -1), (0, 0), (0, 1), (1, -1), (2, 0)]], (1, 2), random.Random(0))
    view = replace(view, values=torch.tensor([[[9.0], [3.0], [1.0], [0.0], [2.0]]]))
    kept = [VaN("off").select(view, keep).tolist()[0] for keep in range(1, 5)]
    assert kept == [[1], [0, 1], [0, 1, 4], [0, 1, 2, 4]]
    kept = [VaN("off", reverse=True).select(view, keep).tolist()[0] for keep in range(1, 5)]
    assert kept == [[2], [0, 2], [0, 2, 4], [0, 1, 2, 4]]


@pytest.mark.parametrize("options", [{"pooling": "max"}, {"thresholds": (3, 2, 1)}, {"reverse": "yes"}])
def test_bad_options_are_user_errors(options):
    with pytest.raises(UserError, match=f"^{next(iter(options))}="):
        VaN(**options)


def test_thresholds_may_come_as_a_list():
    assert VaN(thresholds=[0, 1, 2]) == VaN(thresholds=(0.0, 1.0, 2.0))
