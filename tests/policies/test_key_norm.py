"""key-norm against a loop; its scores are those of arrival."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from hypothesis import given

from infinipot_v.policies.key_norm import KeyNorm
from tests.oracle import policies as oracle
from tests.policies.views import check_selection, make_view, many, tokens_of, views, views_and_keep


@many
@given(views_and_keep())
def test_equals_the_oracle(view_keep):
    view, keep = view_keep
    kept = KeyNorm().select(view, keep)
    check_selection(kept, view, keep)
    assert kept.tolist() == oracle.key_norm(view, keep)


@many
@given(views(exact=False))
def test_scores_of_arrival_are_norms_of_keys_and_decide_alone(view):
    scores = KeyNorm().on_step(view)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, -view.keys.float().norm(dim=-1))
    keep = view.slots // 2
    blind = replace(view, scores=scores, keys=torch.zeros_like(view.keys))
    assert torch.equal(KeyNorm().select(blind, keep), KeyNorm().select(view, keep))


def test_short_keys_stay_and_text_is_a_token_like_others():
    view = make_view([[*tokens_of(0, (1, 2), 1), *tokens_of(1, (1, 2), 1)]], (1, 2), random.Random(0))
    view = replace(view, keys=torch.tensor([[[3.0], [1.0], [5.0], [0.5], [4.0], [1.0]]]))
    kept = [KeyNorm().select(view, keep).tolist()[0] for keep in (1, 2, 3, 4)]
    assert kept == [[3], [3, 5], [1, 3, 5], [0, 1, 3, 5]]
