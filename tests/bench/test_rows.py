"""Rows, ratios and settings on paper: the JSON is a contract."""

from __future__ import annotations

import json
import math

import pytest

from infinipot_v import UserError
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.rows import Result, Row, ratio, same_settings


def test_the_json_has_the_keys_that_others_read(tmp_path):
    result = Result({"device": "a"})
    notebook = Notebook(result, "shape/stream")
    notebook.row("step", [1.0, 2.0, 3.0, 4.0, 10.0], "ms")
    notebook.ratio("double", [4.0], [2.0])
    result.write(tmp_path, "gpu-a", "title")
    found = json.loads((tmp_path / "gpu-a.json").read_text())
    assert {"rows", "ratios", "settings"} <= found.keys()
    (row,) = found["rows"]
    assert row | {"n": 5, "note": ""} == row
    assert (row["name"], row["median"], row["spread"], row["unit"]) == ("shape/stream/step", 3.0, 2.0, "ms")
    assert found["ratios"] == {"shape/stream/double": 2.0} and found["settings"] == {"device": "a"}
    assert Result.read(tmp_path / "gpu-a.json") == result
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["gpu-a.json", "gpu-a.md"]


def test_one_value_has_no_spread():
    assert Row.of("a", [7.0], "ms").spread is None
    assert Row.of("a", [7.0, 7.0], "ms").spread == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_no_figure(value):
    row = Row.of("a", [1.0, value], "ms", "odd")
    assert row.median is None and row.note == "odd; not finite"
    assert json.loads(json.dumps(Result({}, [row]).as_json, allow_nan=False))["rows"][0]["median"] is None


def test_digits():
    assert Row.of("a", [1.23456789], "ms").median == 1.23457
    assert Row.of("a", [float(2**33 + 1)], "B").median == 2**33 + 1, "bytes stay whole"


def test_text_and_markdown():
    result = Result({}, [Row.of("s/memory/peak", [3 * 2.0**30], "B"), Row.missing("s/memory/full", "B", "gone")])
    result.ratios["s/memory/x"] = 2.5
    result.unfinished["s/stream"] = "no time left"
    assert result.rows[0].text.split() == ["s/memory/peak", "3,072.0", "MiB"]
    assert result.rows[1].text.split() == ["s/memory/full", "-", "(gone)"]
    lines = result.markdown("title").splitlines()
    assert lines[0] == "# title" and "## s/memory" in lines
    assert "| s/memory/x | 2.5 |" in lines and "| full | - |  | 0 | gone |" in lines
    assert lines[-1] == "- s/stream: no time left"


def test_a_part_is_forgotten_whole_and_alone():
    result = Result({}, [Row.of(name, [1.0], "") for name in ("a/x", "a/x/one", "a/xy/one", "b/x/one")])
    result.ratios = {"a/x/r": 1.0, "a/xy/r": 1.0}
    result.unfinished["a/x"] = "why"
    result.forget("a/x")
    assert [row.name for row in result.rows] == ["a/xy/one", "b/x/one"]
    assert list(result.ratios) == ["a/xy/r"] and not result.unfinished


def test_ratios_of_nothing_are_none():
    assert ratio([6.0, 2.0, 4.0], [2.0]) == 2.0
    assert ratio([1.0], [0.0]) is ratio([], [1.0]) is ratio([math.nan], [1.0]) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"other": 1}]}', '{"rows": [], "settings": {}, "odd": 1}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="holds no results"):
        Result.read(tmp_path / "a.json")


def test_settings_are_compared_as_json_has_them():
    one = {"sizes": {"seen": (1, 2)}, "device": "a", "shapes": {"x": 1}}
    assert same_settings(one, {"sizes": {"seen": [1, 2]}, "device": "a", "shapes": {}}) == []
    assert same_settings(one, {"sizes": {"seen": [1, 3]}, "device": "a", "more": 1}) == ["more", "sizes"]
