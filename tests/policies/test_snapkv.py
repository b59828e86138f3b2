"""snapkv: its options against loops, and what is no question."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from infinipot_v.policies.snapkv import SnapKV
from infinipot_v.types import UserError
from tests.oracle.registry import differing
from tests.policies.test_attention import asking_views
from tests.policies.views import check_selection, many


@many
@given(asking_views(), st.sampled_from((1, 3, 7)), st.sampled_from(("average", "max", "off")), st.floats(0, 1))
def test_any_option_equals_the_loops(view, kernel, pooling, share):
    policy, keep = SnapKV(kernel=kernel, pooling=pooling), int(share * view.slots)
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    assert differing(policy, view, keep, kept) == 0


def test_the_window_is_the_step_that_arrives_unless_a_question_is_known():
    assert (SnapKV().needs_queries, SnapKV().probe) == (32, None)
    known = SnapKV(window=4, question="What is it?")
    assert (known.needs_queries, known.probe) == (4, "What is it?")


@pytest.mark.parametrize(
    ("option", "value"),
    [("window", 0), ("window", -1), ("window", 1.5), ("kernel", 4), ("kernel", 0), ("kernel", True),
     ("pooling", "avgpool"), ("question", None), ("question", 5)],
)  # fmt: skip
def test_bad_options_are_user_errors(option, value):
    with pytest.raises(UserError, match=f"^{option}="):
        SnapKV(**{option: value})
