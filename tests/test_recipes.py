"""The recipes of CONTRIBUTING.md: what stands there is a policy, and a benchmark."""

from __future__ import annotations

import json
import re
import sys
from fractions import Fraction
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinipot_v import load_model, make_policy, policies
from infinipot_v.evaluate.contenders import contenders
from infinipot_v.evaluate.records import RecordLog
from infinipot_v.evaluate.runner import run
from infinipot_v.pocket import make_stream
from tests.oracle.policies import best, norm
from tests.policies.test_registry import test_every_name_makes_a_frozen_policy_that_knows_its_name as check_name
from tests.policies.views import check_selection, many, views_and_keep

RECIPES = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`built("policy")` -> the module of that recipe, under the name that its file would have."""
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("recipes")

    def build(what: str) -> ModuleType:
        recipe = RECIPES.split(f"## Add a {what}\n")[1].split("\n## ")[0]
        name, code = re.findall(r"`src/(\S+)\.py`:\n\n```python\n(.*?)```", recipe, re.DOTALL)[0]
        (folder / f"{what}.py").write_text(code)
        spec = spec_from_file_location(name.replace("/", "."), folder / f"{what}.py")
        module = module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    yield build
    patch.undo()


@pytest.fixture(scope="module")
def policy(built):
    """The policy's module, with its line in the registry."""
    (line,) = re.findall(r'`_CLASSES`, here `"(\S+)": "(\S+)"`', RECIPES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(policies._CLASSES, *line)
        yield built("policy")


def test_the_policy_is_known_by_its_name(policy):
    check_name("norm")
    with pytest.raises(ValueError, match="choose one of values, keys"):
        make_policy("norm", of="queries")


@many
@given(views_and_keep(), st.sampled_from(["keys", "values"]))
def test_the_policy_keeps_what_it_says(policy, view_keep, of):
    view, keep = view_keep
    kept = make_policy("norm", of=of).select(view, keep)
    check_selection(kept, view, keep)
    vectors = getattr(view, of).double().tolist()
    assert kept.tolist() == [best([norm(vector) for vector in head], keep) for head in vectors]


def test_the_benchmark_can_be_run(built, tmp_path):
    lines = []
    for seed in (0, 1):
        stream = make_stream(seed, steps=32)
        stream.write(tmp_path / f"{seed}.mp4")
        asked = [[question.text, question.answer, question.ask_at] for question in stream.questions]
        lines.append(json.dumps({"video": f"{seed}.mp4", "seconds": stream.seconds, "questions": asked}))
    (tmp_path / "clips.jsonl").write_text("\n".join(lines))
    benchmark = built("benchmark").Clips(tmp_path / "clips.jsonl")
    log = RecordLog(tmp_path / "records.jsonl", dict(benchmark.settings))
    run(benchmark, load_model("pocket", device="cpu"), contenders(["full", "infinipot-v"], [Fraction(1, 2)]), log)
    records = log.records()
    assert {
        (record.item, record.policy, record.held_tokens) for record in records if record.index == record.of - 1
    } == {(item, name, held) for item in ("0.mp4", "1.mp4") for name, held in (("full", 512), ("infinipot-v", 256))}
    assert sum(record.correct for record in records) > 0.8 * len(records) > 20
