"""full, sliding-window, uniform, random: against loops, and what each promises over a long stream."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given

from infinipot_v.policies.full import Full
from infinipot_v.policies.random import Random
from infinipot_v.policies.sliding_window import SlidingWindow
from infinipot_v.policies.uniform import Uniform, evenly
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.policies.views import Stream, check_selection, make_view, many, of_heads, tokens_of, views, views_and_keep


@many
@given(views())
def test_full_keeps_all_and_refuses_to_drop(view):
    assert not Full.bounded
    check_selection(Full().select(view, view.slots), view, view.slots)
    with pytest.raises(UserError, match="raise the budget"):
        Full().select(view, view.slots - 1)


@many
@given(views_and_keep(), st.integers(0, 9))
def test_sliding_window_equals_the_oracle(view_keep, sinks):
    view, keep = view_keep
    kept = SlidingWindow(sinks).select(view, keep)
    check_selection(kept, view, keep)
    assert all(head == oracle.sliding_window(view.slots, keep, sinks) for head in kept.tolist())


def test_sinks_stay_the_first_of_the_stream():
    stream = run(SlidingWindow(4), (1, 3), 20, rounds=30)
    labels = list(zip(stream.view.steps[0].tolist(), stream.view.cells[0].tolist(), strict=True))
    assert labels[:4] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert labels[4:] == [divmod(i, 3) for i in range(stream.step * 3 - len(labels) + 4, stream.step * 3)]


def run(policy, grid, budget, rounds, **options):
    stream = Stream(policy, grid, budget, random.Random(2), dim=1, **options)
    while stream.rounds < rounds:
        stream.push()
    return stream


@many
@given(views_and_keep())
def test_uniform_equals_the_oracle(view_keep):
    view, keep = view_keep
    kept = Uniform().select(view, keep)
    check_selection(kept, view, keep)
    if keep < view.slots:
        assert kept.tolist() == oracle.uniform(view, keep)


@many
@example([0, 1, 3, 4], 3)  # 1 and 3 are as near to 2: the newer stays
@given(st.lists(st.integers(0, 60), min_size=1, max_size=15, unique=True), st.integers(0, 15))
def test_evenly_equals_the_oracle(ids, count):
    ids = sorted(ids)
    count = min(count, len(ids))
    got = [ids[i] for i in evenly(torch.tensor(ids), count).tolist()]
    assert got == oracle.spread(ids, count)
    assert count < 2 or (got[0], got[-1]) == (ids[0], ids[-1])


@pytest.mark.parametrize("budget", [40, 43])
@pytest.mark.parametrize("text", [(0,), (1, 2)])
def test_uniform_stays_even_over_a_long_stream(budget, text):
    """After 60 compactions: the same in all heads, the first and the newest step, no wide hole, one partial step."""
    checked = []

    def check(view, keep, kept):
        steps = view.steps.gather(1, kept)
        assert bool((kept == kept[0]).all())
        vision = Counter(steps[0][view.cells.gather(1, kept)[0] >= 0].tolist())
        whole = sorted(step for step, count in vision.items() if count == 2)
        assert len(vision) - len(whole) <= 1
        assert whole[0] == 0 and whole[-1] == int(view.steps.max())
        gaps = [b - a for a, b in pairwise(whole)]
        assert max(gaps) <= 3 * whole[-1] / (len(whole) - 1) + 1
        checked.append(len(whole))

    stream = Stream(Uniform(), (1, 2), budget, random.Random(2), dim=1, text=text)
    while stream.rounds < 60:
        stream.push(check)
    assert len(checked) == 60


@many
@given(views_and_keep(), st.integers(0, 2**63 - 1))
def test_random_equals_the_oracle(view_keep, seed):
    view, keep = view_keep
    kept = Random(seed).select(view, keep)
    check_selection(kept, view, keep)
    assert kept.tolist() == oracle.random(view, keep, seed)


def test_random_after_many_compactions_is_one_draw_from_the_whole_stream():
    policy = Random(3)
    stream = run(policy, (2, 2), 64, rounds=40, text=(0, 2))
    view = stream.view
    held = [list(zip(*head, strict=True)) for head in zip(view.steps.tolist(), view.cells.tolist(), strict=True)]
    replay = Stream(policy, (2, 2), 10**9, random.Random(2), dim=1, text=(0, 2))
    while replay.step < stream.step - 1:
        replay.push()
    once = policy.select(replay.view, 48)
    for head, kept in enumerate(once):
        labels = zip(replay.view.steps[head, kept].tolist(), replay.view.cells[head, kept].tolist(), strict=True)
        assert Counter(labels) == Counter(held[head][:48])


def test_random_is_uniform_over_time_and_differs_by_seed_layer_and_head():
    labels = [[token for step in range(500) for token in tokens_of(step, (2, 2), 0)]] * 2
    view = make_view(labels, (2, 2), random.Random(0), dim=1)
    kept = Random(0).select(view, 500)
    for head in kept:
        by_tenth = torch.bincount(head // 200, minlength=10)
        assert float(((by_tenth - 50) ** 2 / 50).sum()) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
        by_cell = torch.bincount(view.cells[0, head].long(), minlength=4)
        assert float(((by_cell - 125) ** 2 / 125).sum()) < 16.3
    others = [Random(1).select(view, 500), Random(0).select(replace(view, layer=view.layer + 1), 500), kept.flip(0)]
    assert all(len(set(kept[0].tolist()) & set(other[0].tolist())) < 200 for other in others)


@many
@given(views_and_keep())
def test_uniform_is_blind_to_the_order_of_heads(view_keep):
    view, keep = view_keep
    order = torch.arange(len(view.keys)).flip(0)
    assert torch.equal(Uniform().select(of_heads(view, order), keep), Uniform().select(view, keep)[order])


@pytest.mark.parametrize(("cls", "option"), [(SlidingWindow, "sinks"), (Random, "seed")])
@pytest.mark.parametrize("value", [-1, 1.5, "4", True, None, 2**63])
def test_bad_options_are_user_errors(cls, option, value):
    with pytest.raises(UserError, match=f"^{option}="):
        cls(**{option: value})
