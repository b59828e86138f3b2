"""hermes: bands of layers, the same slots in all heads."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from infinipot_v.policies.hermes import Hermes
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.oracle.registry import differing
from tests.policies.test_attention import asking_view, asking_views
from tests.policies.views import check_selection, many


@many
@given(asking_views(), st.sampled_from(((0.3, 0.3), (0.0, 0.0), (0.5, 0.5), (1.0, 0.0))), st.floats(0, 1))
def test_every_depth_equals_the_loops(view, bands, share):
    policy, keep = Hermes(*bands), int(share * view.slots)
    for layer in range(view.num_layers):
        shown = replace(view, layer=layer)
        kept = policy.select(shown, keep)
        check_selection(kept, view, keep)
        assert bool((kept == kept[0]).all())
        assert differing(policy, shown, keep, kept) == 0


def test_shallow_layers_keep_the_newest_and_deep_ones_what_is_attended_to():
    view, keep = replace(asking_view(random.Random(0), slots=30), num_layers=10), 12
    for layer in range(3):
        assert Hermes().select(replace(view, layer=layer), keep)[0].tolist() == list(range(18, 30))
    meant = torch.tensor(oracle.attention(view)).mean(0)
    for layer in range(7, 10):
        kept = Hermes().select(replace(view, layer=layer), keep)[0]
        assert float(meant[kept].sum()) >= float(meant.topk(keep).values.sum()) - 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shallow": 1.2}, "^shallow=1.2"),
        ({"deep": -1}, "^deep=-1"),
        ({"shallow": 0.6, "deep": 0.5}, "more than all layers"),
        ({"question": 3}, "^question=3"),
    ],
)
def test_bad_options_are_user_errors(options, message):
    with pytest.raises(UserError, match=message):
        Hermes(**options)
