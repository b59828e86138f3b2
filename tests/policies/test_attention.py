"""What queries attend to, against loops: groups of heads, chunks of any size, keys as they are read."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from infinipot_v.policies import attention
from infinipot_v.policies.attention import attention_received, pool_neighbours
from infinipot_v.policies.chunks import chunks
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.policies.views import make_view, many


def asking_view(rng, heads=2, slots=30, groups=2, tokens=3, scale=1.0, dim=4):
    """A view of random numbers with the queries of so many tokens, and of `groups` query heads a key head."""
    view = make_view([[(i, 0) for i in range(slots)]] * heads, (1, 1), rng, dim=dim, exact=False)
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    return replace(view, queries=scale * torch.randn(heads * groups, tokens, dim, generator=generator))


@st.composite
def asking_views(draw):
    """Such views of any size; queries from zero to large."""
    rng, scale = random.Random(draw(st.integers(0, 2**32))), draw(st.sampled_from((0.0, 1.0, 30.0)))
    return asking_view(rng, rng.randint(1, 3), rng.randint(1, 40), rng.randint(1, 3), rng.randint(1, 5), scale)


def close(ours, theirs, tolerance=1e-5):
    return torch.allclose(ours.double(), torch.tensor(theirs, dtype=torch.float64), atol=tolerance, rtol=tolerance)


@many
@given(asking_views(), st.booleans())
def test_attention_equals_the_loops(view, turned):
    view = replace(view, read=view.keys.flip(1)) if turned else view
    received = attention_received(view)
    assert received.dtype == torch.float32 and received.shape == view.steps.shape
    assert close(received, oracle.attention(view))
    assert torch.allclose(received.sum(1), torch.ones(len(view.keys)), atol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_of_any_size_come_to_the_same(size, monkeypatch):
    """Logits far apart between chunks: the softmax is over all slots all the same."""
    view = asking_view(random.Random(0), slots=50, scale=20.0)
    whole = attention_received(view)
    cut = []

    def small(length, elements, _=None):
        cut.append(list(chunks(length, 1, size)))
        return iter(cut[-1])

    monkeypatch.setattr(attention, "chunks", small)
    assert torch.allclose(attention_received(view), whole, atol=1e-6)
    assert len(cut[0]) == -(-50 // size)


def test_a_view_without_queries_is_refused():
    view = make_view([[(i, 0) for i in range(5)]], (1, 1), random.Random(0))
    with pytest.raises(UserError, match=r"give KVView\(queries=...\)"):
        attention_received(view)


@many
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20),
    st.sampled_from((1, 3, 5, 21)),
    st.sampled_from(("average", "max")),
)
def test_pooling_equals_the_loops(scores, kernel, how):
    pooled = pool_neighbours(torch.tensor([scores, scores[::-1]]), kernel, how)
    assert close(pooled[0], oracle.neighbours(scores, kernel, how))
    assert torch.allclose(pooled[1], pooled[0].flip(0), atol=1e-6)
