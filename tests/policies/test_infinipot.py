"""infinipot: each head by what the proxy question attends to."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from infinipot_v.policies.infinipot import InfiniPot
from infinipot_v.types import UserError
from tests.oracle.registry import differing
from tests.policies.test_attention import asking_views
from tests.policies.views import check_selection, many


@many
@given(asking_views(), st.floats(0, 1))
def test_the_kept_set_is_that_of_the_loops(view, share):
    policy, keep = InfiniPot(), int(share * view.slots)
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    assert differing(policy, view, keep, kept) == 0


def test_the_prompt_is_the_probe_and_must_ask_something():
    assert InfiniPot(prompt="What matters?").probe == "What matters?" and InfiniPot().probe.strip()
    with pytest.raises(UserError, match="streammem, which asks none"):
        InfiniPot(prompt=" ")
    with pytest.raises(UserError, match="^prompt=7 is no text"):
        InfiniPot(prompt=7)
