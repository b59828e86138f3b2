"""Names, options and lazy imports."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from infinipot_v.policies import make_policy, policy_class, policy_names
from infinipot_v.policies.base import Policy
from infinipot_v.types import UserError


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


def test_names_cost_no_torch():
    code = "import sys; from infinipot_v.policies import policy_names; policy_names(); sys.exit('torch' in sys.modules)"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=paths, check=False).returncode == 0
