"""`infinipot-v policies` tells what the classes say, and the README what it tells."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from infinipot_v import make_policy, policy_names
from infinipot_v.policies import policy_class

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def listed(run) -> dict[str, dict]:
    return {policy["name"]: policy for policy in json.loads(run("policies", "--json")[1])["policies"]}


def test_every_policy_and_every_option_is_listed_with_its_default(listed):
    assert tuple(listed) == policy_names()
    for name, policy in listed.items():
        assert policy["stays"] and "\n" not in policy["stays"]
        assert [option["name"] for option in policy["options"]] == [field.name for field in fields(policy_class(name))]
        defaults = {option["name"]: option["default"] for option in policy["options"]}
        assert make_policy(name) == make_policy(name, **defaults)
        for option in policy["options"]:
            for choice in option["choices"] or ():
                make_policy(name, **{option["name"]: choice})
    assert listed["infinipot-v"]["options"][2] == {
        "name": "pooling",
        "default": "adaptive",
        "choices": ["adaptive", "off"],
    }


@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_list_fits_the_terminal(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    out = run("policies")[1]
    assert max(map(len, out.splitlines())) <= int(columns)
    assert "    -o alpha=0.5\n" in out and "-o thresholds=0.2,0.3,0.4" in out


def test_the_readme_has_a_row_for_every_policy():
    text = README.read_text()
    assert [name for name in policy_names() if f"| `{name}` |" not in text] == []
