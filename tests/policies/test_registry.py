"""Names, options and lazy imports; and what every policy in the registry owes: no policy is named here."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from infinipot_v.policies import make_policy, policy_class, policy_names
from infinipot_v.policies.base import KVView, Policy
from infinipot_v.policies.sliding_window import SlidingWindow
from infinipot_v.types import UserError
from tests.oracle.registry import KEPT, WORTH, differing
from tests.policies.test_infinipot_v import LiveBytes
from tests.policies.views import (
    GRIDS,
    Stream,
    as_asked,
    as_cached,
    check_selection,
    make_view,
    tokens_of,
    views_and_keep,
)

BOUNDED = [name for name in policy_names() if policy_class(name).bounded]
some = settings(max_examples=50, deadline=None)


@pytest.mark.parametrize("name", policy_names())
def test_every_name_makes_a_frozen_policy_that_knows_its_name(name):
    policy = make_policy(name)
    assert isinstance(policy, Policy) and policy.name == name and type(policy) is policy_class(name)
    assert make_policy(policy) is policy
    defaults = {field.name: getattr(policy, field.name) for field in dataclasses.fields(policy)}
    assert make_policy(name, **defaults) == policy
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.alpha = 1


def test_options_reach_the_policy_and_its_repr():
    policy = make_policy("infinipot-v", alpha=0.25, pooling="off")
    assert "alpha=0.25" in repr(policy) and "pooling='off'" in repr(policy)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("infinipotv", {}, "did you mean 'infinipot-v'"),
        ("zzz", {}, "there are: .*uniform"),
        ("infinipot-v", {"alhpa": 1}, "did you mean 'alpha'.*it takes alpha, recent"),
        ("full", {"alpha": 1}, "it takes none"),
        ("infinipot-v", {"alpha": 7}, "alpha=7 is out of range"),
        (3, {}, "is no policy"),
    ],
)
def test_mistakes_are_user_errors_that_name_the_nearest(name, options, message):
    with pytest.raises(UserError, match=message):
        make_policy(name, **options)


def test_options_for_a_finished_policy_are_refused():
    with pytest.raises(UserError, match="too late"):
        make_policy(make_policy("random"), seed=1)


def test_names_of_the_field_are_settings_of_a_policy_and_take_its_options():
    assert make_policy("streaming-llm") == SlidingWindow(sinks=4)
    assert make_policy("last-frames") == SlidingWindow(sinks=0)
    assert make_policy("streaming-llm", sinks=8) == SlidingWindow(sinks=8)
    with pytest.raises(UserError, match="'last-frames' has no option 'sink', did you mean 'sinks'"):
        make_policy("last-frames", sink=1)


def test_names_cost_no_torch():
    code = "import sys; from infinipot_v.policies import policy_names; policy_names(); sys.exit('torch' in sys.modules)"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=paths, check=False).returncode == 0


@pytest.mark.parametrize("name", policy_names())
def test_every_policy_has_a_loop_version(name):
    assert (name in KEPT) + (name in WORTH) == 1, f"add {name!r} to tests/oracle/registry.py"


@pytest.mark.parametrize("name", [name for name in policy_names() if name in {**KEPT, **WORTH}])
@some
@given(views_and_keep(), st.booleans(), st.randoms(use_true_random=False))
def test_the_kept_set_is_that_of_the_loop_version(name, view_keep, cached, rng):
    view, keep = view_keep
    policy, keep = make_policy(name), keep if name in BOUNDED else view.slots
    view = shown(policy, view, cached, rng)
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    assert differing(policy, view, keep, kept) == 0


def shown(policy, view, cached, rng, exact=True):
    """With what the policy asks for; `cached`: with what it has noted and scored before, too."""
    view = as_asked(policy, view, rng, exact)
    return as_cached(policy, view) if cached else view


@pytest.mark.parametrize("name", policy_names())
@some
@given(views_and_keep(exact=False), st.booleans(), st.randoms(use_true_random=False))
def test_selecting_is_deterministic_and_changes_nothing_it_is_shown(name, view_keep, cached, rng):
    view, keep = view_keep
    policy, keep = make_policy(name), keep if name in BOUNDED else view.slots
    view = shown(policy, view, cached, rng, exact=False)
    before = [copy(value) for value in vars(view).values()]
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    assert torch.equal(kept, make_policy(name).select(view, keep))
    assert all(equal(a, b) for a, b in zip(before, vars(view).values(), strict=True))


def copy(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("name", BOUNDED)
@some
@given(st.integers(0, 2**32), st.sampled_from(GRIDS), st.sampled_from(((0,), (0, 1, 3))), st.booleans())
def test_any_history_ends_in_slots_of_the_stream_each_once_in_order(name, seed, grid, text, exact):
    """Compactions of any size at any time, steps with and without text: twice, to the same end."""
    ends = [history(make_policy(name), random.Random(seed), grid, text, exact) for _ in range(2)]
    assert all(equal(a, b) for a, b in zip(*(vars(end).values() for end in ends), strict=True))


def history(policy, rng, grid, text, exact):
    budget = rng.randint(1, 4) * grid[0] * grid[1] + rng.randint(3, 30)
    stream = Stream(policy, grid, budget, rng, heads=rng.randint(1, 3), exact=exact, text=text)

    def check(view, keep, kept):
        check_selection(kept, view, keep)
        for steps, cells in zip(view.steps.tolist(), view.cells.tolist(), strict=True):
            seen = [token for token in zip(steps, cells, strict=True) if token[1] >= 0]
            assert steps == sorted(steps) and len(set(seen)) == len(seen)

    for _ in range(rng.randint(1, 25)):
        stream.push(check)
        if rng.random() < 0.3 and stream.view.slots:
            stream.compact(rng.randint(0, stream.view.slots), check)
        assert stream.view.slots <= budget
    return stream.view


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("fill", [0.0, 1.0, -3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_constant_tensors_are_no_special_case(name, fill, dtype):
    """Pictures without content: no division by a norm of zero, no NaN among the scores."""
    view = make_view(
        [[token for step in range(5) for token in tokens_of(step, (2, 2), 1)]] * 2, (2, 2), random.Random(0)
    )
    constant = torch.full(view.keys.shape, fill, dtype=dtype)
    view = replace(view, keys=constant, values=constant, fresh_steps=2)
    policy = make_policy(name)
    for cached in (False, True):
        view = shown(policy, view, cached, random.Random(1))
        assert view.scores is None or not bool(view.scores.isnan().any())
        for keep in range(view.slots + 1):
            check_selection(policy.select(view, keep), view, keep)


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("cached", [True, False])
def test_no_policy_makes_a_tensor_of_heads_x_slots_x_dim(name, cached):
    """Rule 4 at 4 heads x 6,144 x 128 bf16, 6 MiB of keys: what a selection allocates stays below 4 MiB."""
    heads, slots, dim, p = 4, 6144, 128, 128
    generator = torch.Generator().manual_seed(0)
    index = torch.stack(
        [torch.randperm(9 * slots, generator=generator)[: slots - 6 * p].sort().values for _ in range(heads)]
    )
    index = torch.cat([index, torch.arange(9 * slots, 9 * slots + 6 * p).expand(heads, -1)], 1)
    keys, values = torch.randn(2, heads, slots, dim, generator=generator).bfloat16()
    view = KVView(keys, values, (index // p).int(), (index % p).short(), (8, 16), 0, 28, fresh_steps=6)
    policy = make_policy(name)
    view = shown(policy, view, cached, random.Random(1), exact=False)
    with LiveBytes() as live:
        policy.select(view, 4608)
    assert 0 < live.peak < 4 * 2**20
