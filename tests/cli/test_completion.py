"""What a shell is told when somebody presses TAB."""

from __future__ import annotations

import pytest

from infinipot_v.cli.complete import several_of
from infinipot_v.models import family_names
from infinipot_v.policies import policy_names


def completed(process, line: str) -> list[str]:
    done = process(_INFINIPOT_V_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("infinipot-v po", ["policies"]),
        ("infinipot-v ask --pol", ["--policy"]),
        ("infinipot-v ask --policy ", [*policy_names()]),
        ("infinipot-v ask --positions c", ["compact"]),
        ("infinipot-v ask --dtype bf", ["bfloat16"]),
        ("infinipot-v ask --model po", ["pocket"]),
        ("infinipot-v eval po", ["pocket"]),
        ("infinipot-v eval pocket --policies full,last", ["full,last-frames"]),
    ],
)
def test_names_are_completed(process, line, expected):
    assert completed(process, line) == expected


def test_lists_complete_their_last_name_and_no_name_twice():
    complete = several_of(family_names)
    first, second, *_ = family_names()
    assert complete(first) == [first, *(name for name in family_names() if name.startswith(first) and name != first)]
    assert f"{first},{second}" in complete(f"{first},") and f"{first},{first}" not in complete(f"{first},")


def test_the_script_for_bash_names_our_command(process):
    done = process(_INFINIPOT_V_COMPLETE="source_bash")
    assert done.returncode == 0 and "infinipot-v" in done.stdout and "_INFINIPOT_V_COMPLETE" in done.stdout
