"""The choice of blocks, against loops over heads."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from infinipot_v.retrieval.relevance import cosines, portions, promised, ranking


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 8), st.integers(0, 10**6))
def test_cosines_equal_those_of_heads_laid_side_by_side(blocks, heads, groups, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(heads * groups, dim, generator=generator)
    means = torch.randn(blocks, heads, dim, generator=generator)
    found = cosines(query, means)
    for block in range(blocks):
        key = torch.cat([means[block, head // groups] for head in range(heads * groups)])
        expected = torch.nn.functional.cosine_similarity(query.flatten(), key, dim=0)
        assert abs(float(found[block] - expected)) <= 1e-5


def test_a_block_or_question_of_zeros_is_like_nothing():
    assert cosines(torch.ones(2, 3), torch.zeros(1, 2, 3)).tolist() == [0.0]
    assert cosines(torch.zeros(2, 3), torch.ones(1, 1, 3)).tolist() == [0.0]


def test_the_newer_one_among_equals():
    assert ranking(torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0]), 4) == [4, 2, 1, 3]
    assert ranking(torch.tensor([0.5, 0.5]), 9) == [1, 0]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 14), st.randoms())
def test_every_choice_fetches_equally_many_tokens(lengths, count, random):
    order = random.sample(range(len(lengths)), min(count, len(lengths)))
    tokens = promised(lengths, count)
    taken = portions(lengths, order, tokens)
    assert sum(taken.values()) == tokens and list(taken) == order
    assert all(0 <= taken[block] <= lengths[block] for block in order)
    cut = [block for block in order if taken[block] < lengths[block]]
    assert cut == order[len(order) - len(cut) :], "only the least similar ones are cut short"
    if len(set(lengths)) == 1 or len(order) == len(lengths):
        assert cut == [], "blocks of one length, and all blocks, are fetched whole"
