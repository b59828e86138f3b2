"""Published numbers: each has a source, and no table mixes backbones or judges."""

from __future__ import annotations

import json

import pytest

from infinipot_v.evaluate.field import benchmark_names
from infinipot_v.evaluate.field.published import OWN, Number, own_numbers, plain, published, tables
from infinipot_v.types import UserError


def test_every_row_has_a_source_and_a_benchmark_that_there_is():
    assert len(published()) > 60 and len(set(published())) == len(published())
    for number in published():
        assert number.benchmark in benchmark_names() and number.source.strip() and number.source != OWN
        assert 0 < number.value <= 100 and number.backbone and number.method and number.budget
        assert bool(number.judge) == number.benchmark.startswith(("rvs", "vstream"))


def test_no_table_mixes_backbones_or_judges():
    own = [
        Number("rvs-ego", "accuracy", "uniform", backbone, "6144", 50.0, OWN, judge)
        for backbone in ("somewhere/LLaVA-OneVision-7B-hf", "pocket") for judge in ("a@1", "gpt-3.5-turbo-0613")
    ]  # fmt: skip
    found = tables(published(), own)
    for rows in found:
        assert len({(row.benchmark, row.metric, plain(row.backbone), row.judge) for row in rows}) == 1
        assert [row.value for row in rows] == sorted((row.value for row in rows), reverse=True)
    together = next(rows for rows in found if own[1] in rows)  # the same backbone, the same judge
    assert {row.method for row in together} == {"ReKV", "uniform"}
    for alone in (own[0], own[2], own[3]):
        assert next(rows for rows in found if alone in rows) == [alone]
    assert sum(map(len, found)) == len(published()) + 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl-7b"), ("Qwen2.5-VL-7B", "qwen2.5-vl-7b"), ("models/x-7B-hf/", "x-7b")],
)
def test_names_of_backbones(name, expected):
    assert plain(name) == expected


def test_ones_own_results_are_read_and_other_files_are_not(tmp_path):
    with pytest.raises(UserError, match="no results"):
        own_numbers(tmp_path)
    (tmp_path / "pocket.json").write_text(json.dumps({"settings": {"benchmark": "pocket"}, "official": [{}]}))
    (tmp_path / "odd.json").write_text("[")
    (tmp_path / "list.json").write_text("[]")
    official = [{"policy": "infinipot-v", "budget": "4096", "backward": 40.0, "forward": None}]
    settings = {"benchmark": "ovobench", "model": "Qwen/Qwen2.5-VL-7B-Instruct"}
    (tmp_path / "ovobench.json").write_text(json.dumps({"settings": settings, "official": official}))
    (number,) = own_numbers(tmp_path)
    assert (number.metric, number.value, number.source, number.judge) == ("backward", 40.0, OWN, "")
    together = next(rows for rows in tables(published(), [number]) if number in rows)
    assert {"InfiniPot-V", "uniform"} <= {row.method for row in together}
