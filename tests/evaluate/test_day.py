"""A day, shortened to minutes: both halves, the file in a new process, resuming by parts, and what is said of it."""

from __future__ import annotations

import json

import pytest

from infinipot_v.cli.day import LEAST
from infinipot_v.evaluate.day.questions import DELAYS, Day
from infinipot_v.evaluate.day.summary import binned, spoken
from tests.cli.conftest import run as run

STEPS = str(LEAST)


def test_what_is_asked_is_about_things_that_are_gone():
    day = Day(3, 1000)
    assert len(day.questions) > 100
    assert [asked.at for asked in day.questions] == sorted(asked.at for asked in day.questions)
    assert all(asked.delay >= DELAYS[0] for asked in day.questions)
    assert {binned(asked.delay) for asked in day.questions} >= {4, 16, 60, 240}
    assert day.questions == Day(3, 1000).questions and day.last


def test_delays_as_people_say_them():
    assert [spoken(delay) for delay in DELAYS] == ["4 s", "16 s", "1 min", "4 min", "15 min", "1 h", "4 h", "16 h"]


def test_a_short_day(run):
    line = ("eval", "day", "--seeds", "3:4", "--steps", STEPS, "--out", "day", "--json")
    code, out, err = run(*line)
    assert code == 0, err
    told = json.loads(out)
    ours, blind = (
        {row["delay"]: row for row in told["rows"] if row["contender"] == name} for name in ("infinipot-v", "blind")
    )
    assert sum(row["n"] for row in ours.values()) == sum(row["n"] for row in blind.values()) > 40
    assert ours[4]["accuracy"] > 0.9 > blind[4]["accuracy"]
    (day,) = told["days"]
    assert day["same_answers"] and len(set(day["probes"])) == 1 and day["nbytes"][0] == day["nbytes"][1]
    assert day["files"][0] == day["files"][1] and day["threads"][0] == day["threads"][1]
    assert told["memory"]["capped_bytes"][0] == told["memory"]["capped_bytes"][1]
    assert told["memory"]["growing_failed_seconds"] is None, "so short a day kills nobody"
    code, again, err = run(*line)
    assert code == 0 and "seed" not in err and json.loads(again) == told, "what is done is not done again"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--steps", 50), "too short to forget anything"),
        (("--policies", "uniform"), "a day is what it is: leave out --policies"),
        (("--quick",), "leave out --quick"),
        (("--seeds", "3"), "cannot read the seeds"),
    ],
)
def test_bad_input(run, line, words):
    code, out, err = run("eval", "day", *line)
    assert code == 2 and out == "" and words in err and err.count("\n") == 1
