"""The paper's scores against plain loops."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from infinipot_v import grain
from infinipot_v.policies import scores
from infinipot_v.policies.chunks import chunks, pieces
from infinipot_v.policies.cosines import _mixed, tar_scores
from infinipot_v.policies.steps import newest_steps
from tests.oracle import policies as oracle
from tests.policies.views import make_view, many, random_labels, tokens_of, views

VALUES = st.sampled_from([-math.inf, -1.0, 0.0, -0.0, 0.5, 0.5, 2.0, math.inf])


@many
@given(st.lists(VALUES, min_size=1, max_size=20), st.data())
def test_top_slots_breaks_ties_towards_the_newer(values, data):
    keep = data.draw(st.integers(0, len(values)))
    both = torch.tensor([values, values[::-1]])
    got = scores.top_slots(both, keep)
    assert got.tolist() == [oracle.best(values, keep), oracle.best(values[::-1], keep)]


def test_top_slots_takes_integers_and_refuses_too_many():
    assert scores.top_slots(torch.tensor([[-(2**62), 2**62, 2**62 - 1]]), 2).tolist() == [[1, 2]]
    with pytest.raises(AssertionError, match="cannot keep 4 of 3"):
        scores.top_slots(torch.zeros(1, 3), 4)


@many
@given(views(), st.sampled_from((1, 3, 5, 7)))
def test_pooling_over_held_cells(view, kernel):
    norms = scores.van_scores(view.values)
    pooled = scores.pool_held(norms, view.steps, view.cells, view.grid, kernel)
    assert torch.equal(pooled, torch.tensor(oracle.pooled_van(view, kernel), dtype=torch.float32))


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_pool_on_grid_does_not_count_padding_nor_absent_cells(kernel):
    grid = torch.arange(12.0).view(1, 1, 3, 4)
    present = torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(1)) < 0.6
    for mask in (None, present):
        got = scores.pool_on_grid(grid, kernel, mask)[0, 0]
        for y in range(3):
            for x in range(4):
                window = [
                    float(grid[0, 0, j, i])
                    for j in range(3)
                    for i in range(4)
                    if abs(j - y) <= kernel // 2 and abs(i - x) <= kernel // 2 and (mask is None or mask[0, 0, j, i])
                ]
                held = mask is None or bool(mask[0, 0, y, x])
                expected = sum(window) / len(window) if held else -math.inf
                assert float(got[y, x]) == pytest.approx(expected)


@many
@given(views(exact=False), st.integers(1, 4))
def test_tar_is_minus_the_mean_cosine_with_the_same_cell(view, count):
    newest = newest_steps(view.steps, view.cells, count)
    if len(newest) == 0:
        return
    got = tar_scores(view.keys, view.steps, view.cells, newest, view.cells_per_step)
    keys, _, steps, cells = oracle.rows(view)
    expected = [oracle.tar(k, t, c, newest.tolist()) for k, t, c in zip(keys, steps, cells, strict=True)]
    torch.testing.assert_close(got, torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("survivors", [0, 4, 11])
@pytest.mark.parametrize("text", [0, 1])
def test_tar_of_survivors_with_whole_steps_behind_them(dtype, survivors, text):
    rng = random.Random(survivors)
    old = [[(rng.randrange(3), rng.randrange(6)) for _ in range(survivors)] for _ in range(3)]
    fresh = [token for step in range(3, 8) for token in tokens_of(step, (2, 3), text)]
    view = make_view([sorted(head) + fresh for head in old], (2, 3), rng, dim=8, dtype=dtype, exact=False)
    stored = view.keys.clone()
    got = tar_scores(view.keys, view.steps, view.cells, torch.tensor([6, 7], dtype=view.steps.dtype), 6)
    keys, _, steps, cells = oracle.rows(view)
    expected = [oracle.tar(k, t, c, [6, 7]) for k, t, c in zip(keys, steps, cells, strict=True)]
    torch.testing.assert_close(got, torch.tensor(expected), atol=1e-6, rtol=0)
    assert torch.equal(view.keys, stored), "a policy never writes"


@pytest.mark.parametrize(("slots", "expected"), [([0, 1, 2, 0, 1, 2], 0), ([2, 0, 1, 2], 1), ([0, 1, 2, 1, 2], 5)])
def test_mixed_slots_end_where_the_rest_is_whole_in_every_head(slots, expected):
    assert _mixed(torch.tensor([slots]), 3) == expected
    assert _mixed(torch.tensor([slots, [0] * len(slots)]), 3) == len(slots)


def test_tar_of_a_cell_without_recent_key_is_the_most_distinct():
    keys = torch.tensor([[[1.0, 0], [0, 1], [1, 1], [1, 0]]])
    steps, cells = torch.tensor([[0, 0, 1, 2]]), torch.tensor([[0, 1, 0, 0]])
    got = tar_scores(keys, steps, cells, torch.tensor([2]), 2)
    torch.testing.assert_close(got, torch.tensor([[-1.0, -(0.5**0.5), -(0.5**0.5), -math.inf]]))
    alone = tar_scores(keys[:, 1:], steps[:, 1:], torch.tensor([[1, 1, 0]]), torch.tensor([2]), 2)
    assert alone.tolist() == [[0.0, 0.0, -math.inf]]


def test_scores_are_float32_and_streaming_changes_nothing(monkeypatch):
    labels = [[token for step in range(8) for token in tokens_of(step, (2, 3), 1)]] * 3
    view = make_view(labels, (2, 3), random.Random(0), dim=8, dtype=torch.bfloat16, exact=False)
    tar = (view.keys, view.steps, view.cells, torch.tensor([5, 6, 7], dtype=view.steps.dtype), 6)
    van, distinct = scores.van_scores(view.values), tar_scores(*tar)
    assert van.dtype == distinct.dtype == torch.float32
    torch.testing.assert_close(van, view.values.float().norm(dim=-1))
    monkeypatch.setattr(grain, "CORE", replace(grain.CORE, chunk=5 * 3 * 8))
    assert torch.equal(van, scores.van_scores(view.values))
    torch.testing.assert_close(distinct, tar_scores(*tar))


@many
@given(st.integers(0, 6), st.integers(0, 12), st.integers(1, 4), st.integers(1, 80), st.integers(1, 3))
def test_pieces_cover_everything_once(heads, units, dim, size, unit):
    slots, found = units * unit, torch.zeros(heads, units * unit, dtype=torch.long)
    for some, part in pieces((heads, slots, dim), size, unit):
        found[some, part] += 1
        count, n = found[some, part].shape
        assert count * n * dim <= max(size, unit * dim) and n % unit == 0
        assert count == 1 or n == slots, "all slots of several heads, or some of one"
    assert bool((found == 1).all())


@many
@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 60))
def test_chunks_cover_everything_once(length, elements, size):
    parts = list(chunks(length, elements, size))
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(length))
    assert all((part.stop - part.start) * elements <= max(size, elements) for part in parts)


def test_variation_and_kernels():
    assert scores.variation(torch.tensor([4.0, 6.0])) == pytest.approx(0.2)
    assert scores.variation(torch.full((5,), 3.0)) == 0.0
    assert scores.variation(torch.zeros(5)) is None and scores.variation(torch.empty(0)) is None
    limits = (0.1, 0.2, 0.3)
    assert [scores.choose_kernel(cv, limits) for cv in (None, 0.0, 0.1, 0.25, 0.3, 9.0)] == [1, 7, 5, 3, 1, 1]


def test_pooling_on_many_scattered_steps_uses_several_chunks(monkeypatch):
    rng = random.Random(3)
    view = make_view(random_labels(rng, (5, 7), 3), (5, 7), rng)
    monkeypatch.setattr(grain, "CORE", replace(grain.CORE, chunk=4 * 4 * 3 * 20))
    got = scores.pool_held(scores.van_scores(view.values), view.steps, view.cells, view.grid, 3)
    assert torch.equal(got, torch.tensor(oracle.pooled_van(view, 3)))
