"""Turns, quantiles and deadlines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infinipot_v.bench.timing import Deadline, TimeUp, interleaved, median_and_spread, quantile


def test_compared_calls_take_turns_and_change_places():
    order: list[str] = []

    def call(name):
        order.append(name)
        return len(order)

    found = interleaved({"a": lambda: call("a"), "b": lambda: call("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1, 4, 5], "b": [2, 3, 6]}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_quantiles_are_numpys(share, count):
    values = np.random.default_rng(count).normal(size=count)
    assert quantile(list(values), share) == pytest.approx(np.quantile(values, share))
    low, high = np.quantile(values, [0.25, 0.75])
    assert median_and_spread(list(values)) == pytest.approx((np.median(values), high - low))


def test_a_deadline_is_shared_evenly_and_ends():
    time = [100.0]
    end = Deadline.after(60, lambda: time[0])
    first = end.share(3)
    assert first.left == 20
    time[0] = 119.9
    first.check()
    time[0] = 121.0
    with pytest.raises(TimeUp):
        first.check()
    assert end.share(2).left == pytest.approx(19.5), "what one shape did not use goes to the others"
    assert Deadline().left == Deadline.after(None).share(4).left == math.inf
