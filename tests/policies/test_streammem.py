"""streammem: each head by what the chat template's own tokens attend to."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from infinipot_v.policies.streammem import StreamMem
from tests.families import FAMILIES
from tests.oracle.registry import differing
from tests.policies.test_attention import asking_views
from tests.policies.views import check_selection, many


@many
@given(asking_views(), st.floats(0, 1))
def test_the_kept_set_is_that_of_the_loops(view, share):
    policy, keep = StreamMem(), int(share * view.slots)
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    assert differing(policy, view, keep, kept) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_its_probe_is_a_question_without_the_question(loaded, family):
    """In every family's template: what stands around any question, and nothing else."""
    prompt = loaded(family).prompt
    template = prompt.behind(None, [], StreamMem().probe)
    text = prompt.tokenizer.decode(template)
    asked = prompt.tokenizer.decode(prompt.question(None, [], "Why?"))
    before, _, behind = asked.partition("Why?")
    assert template and text.strip()
    assert text.split() == (before + behind).split()
