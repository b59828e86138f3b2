"""The experiments: rows that exist, streams that differ in one thing only, trials that never look at the test."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinipot_v import load_model
from infinipot_v.evaluate.base import Manner
from infinipot_v.evaluate.experiments import EXPERIMENTS, compactions, dialogue, paper, trials
from infinipot_v.evaluate.experiments.base import Arm, Results, score_of
from infinipot_v.evaluate.experiments.report import as_json, as_markdown
from infinipot_v.evaluate.experiments.running import run_experiments, to_run
from infinipot_v.evaluate.experiments.scale import FULL, QUICK, SHARE
from infinipot_v.evaluate.experiments.shots import CAMERAS, CUTS
from infinipot_v.evaluate.experiments.streams import TURNS, Pictures, Spec, five_questions, stream_of
from infinipot_v.evaluate.records import Record, RecordLog
from infinipot_v.pocket import make_stream
from infinipot_v.pocket.render import clean_frame
from infinipot_v.pocket.seeds import split_of

TINY = replace(
    QUICK, name="tiny", test=(1_000_000, 1_000_002), steps=4, cameras=0, compactions=((1, 1),), budgets=(SHARE,)
)


@pytest.fixture(scope="module")
def pocket():
    return load_model("pocket", device="cpu")


def record(arm: Arm, spec: Spec, index: int, right: bool, kind: str = "what") -> Record:
    policy, share, item = arm.unit(spec)
    return Record(policy, share, item, index, 9, kind, 1.0, "?", "x", "x" if right else "y", right, 7, 9, 0.1)


# What is run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=lambda scale: scale.name)
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_every_row_can_take_part(experiment, scale):
    arms = experiment.arms(scale, Results([]))
    rows = [(arm.label, arm.condition, arm.policy) for arm in arms]
    assert len(set(rows)) == len(rows) and all(arm.specs for arm in arms)
    for arm in arms:
        assert (arm.contender.policy, arm.contender.fraction) == (arm.policy, arm.share)
        assert {spec.split for spec in arm.specs} == {"dev" if arm.condition == "dev" else "test"}
    if experiment.baseline:
        assert {arm.condition for arm in arms if arm.label == experiment.baseline} == {arm.condition for arm in arms}


def test_everybody_has_as_many_trials():
    tried = [arm for arm in trials.arms(FULL, Results([])) if arm.condition == "dev"]
    counts = {method: {arm.policy for arm in tried if arm.label == method} for method in trials.SETTINGS}
    assert {len(policies) for policies in counts.values()} == {FULL.trials} and FULL.trials > 1
    assert all(method in policies for method, policies in counts.items()), "the default is one of the trials"


@pytest.mark.parametrize("count", [1, 5, 9])
def test_a_stream_has_the_compactions_that_it_is_named_after(pocket, count):
    arm = next(a for a in compactions.arms(replace(FULL, compactions=((count, 1),)), Results([])))
    item = (benchmark := Pictures(arm.specs)).item(arm.specs[0])
    watcher = arm.contender.watcher(pocket, item, benchmark.manner)
    with benchmark.frames(item) as frames:
        watcher.watch(list(frames))
    report = watcher.session.report()
    assert (report.budget_tokens, report.compressions) == (compactions.MEMORY * item.step_tokens, count)


# Streams -------------------------------------------------------------------------------------------------------------


def test_only_the_camera_differs():
    seeds = [{spec.seed for spec in FULL.camera_streams(camera)} for camera in CAMERAS]
    assert seeds[0] == seeds[1] == seeds[2] and len(seeds[0]) == FULL.cameras
    for spec in FULL.camera_streams("cutting")[:2]:
        own = make_stream(spec.seed, spec.steps)
        shown = {camera: stream_of(replace(spec, camera=camera)) for camera in CAMERAS}
        for stream in shown.values():
            assert (stream.scene.things, stream.questions) == (own.scene.things, own.questions)
            assert (stream.scene.shots[0].first, stream.scene.shots[-1].last) == (0, stream.scene.frames)
        assert [len(shown[camera].scene.shots) > CUTS for camera in CAMERAS] == [False, True, False]
        moves = {camera: len(np.unique(stream.plan.offset, axis=0)) for camera, stream in shown.items()}
        assert moves["static"] == 1 and moves["panning"] > 100
        assert moves["cutting"] <= len(shown["cutting"].scene.shots)


def test_a_thing_is_painted_alike_before_every_camera():
    spec = FULL.camera_streams("static")[0]
    streams = [stream_of(replace(spec, camera=camera)) for camera in ("static", "panning")]
    thing = streams[0].scene.things[0]
    x, y = (int(c) for c in thing.path.centre(thing.first))
    still, panned = (clean_frame(stream.plan, thing.first)[y - 2 : y + 3, x - 2 : x + 3] for stream in streams)
    assert np.allclose(still, panned, atol=1)


@pytest.mark.parametrize("seed", range(1_000_000, 1_000_016))
def test_five_questions_are_about_five_things_that_are_gone(seed):
    scene = stream_of(Spec(seed, 128)).scene
    questions = five_questions(scene)
    assert len(questions) == len(TURNS) and questions == five_questions(scene)
    evidence = [thing for question in questions for thing in question.evidence]
    assert len(set(evidence)) == len(evidence)
    assert all(question.delay_seconds > 0 and question.answer in question.choices for question in questions)
    assert len({question.ask_at for question in questions}) == 1
    asked = [a.kind for a in Pictures([]).item(Spec(seed, 128, turns=True)).questions if a.kind in TURNS]
    assert asked == list(TURNS)


def test_frames_come_from_the_renderer_to_the_byte():
    spec = Spec(3, 4)
    benchmark = Pictures([spec])
    with benchmark.frames(benchmark.item(spec)) as frames:
        shown = [(frame.seconds, frame.pixels) for frame in frames]
    for (seconds, pixels), (wanted, picture) in zip(shown, make_stream(3, 4).frames(), strict=True):
        assert seconds == wanted and (pixels == picture).all()


# Choosing ------------------------------------------------------------------------------------------------------------

SMALL = replace(FULL, test=(1_000_000, 1_000_002), dev=(2000, 2002), trials=3)


def tried_by(method: str) -> list[Arm]:
    return [arm for arm in trials.arms(SMALL, Results([])) if (arm.label, arm.condition) == (method, "dev")]


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_setting_is_chosen_on_development_streams_alone(data):
    """Whatever the test streams say, the choice is the earliest of those with the most right in development."""
    tried = tried_by("keydiff")
    rights = [data.draw(st.lists(st.booleans(), min_size=6, max_size=6)) for _ in tried]
    dev = [
        record(arm, spec, index, right[3 * place + index])
        for arm, right in zip(tried, rights, strict=True)
        for place, spec in enumerate(arm.specs)
        for index in range(3)
    ]
    test = [
        record(Arm(arm.label, arm.policy, SMALL.test_streams), spec, 0, data.draw(st.booleans()))
        for arm in tried
        for spec in SMALL.test_streams
    ]
    sums = [sum(right) for right in rights]
    choice = trials.chosen("keydiff", tried, Results(dev + test))
    assert choice == tried[sums.index(max(sums))].policy
    assert {split_of(int(r.item.partition("x")[0])) for r in dev} == {"dev"}
    one_short = [r for r in dev if (r.policy, r.item) != (tried[-1].policy, tried[-1].specs[-1].name)]
    assert trials.chosen("keydiff", tried, Results(one_short + test)) == "", "nothing is chosen before all is tried"


def test_the_choice_goes_into_the_test_beside_the_default():
    tried = tried_by("keydiff")
    dev = [record(arm, spec, 0, arm is tried[1]) for arm in tried for spec in arm.specs]
    judged = [arm for arm in trials.arms(SMALL, Results(dev)) if arm.label == "keydiff" and arm.condition != "dev"]
    assert [(arm.condition, arm.policy) for arm in judged] == [("default", "keydiff"), ("chosen", tried[1].policy)]
    assert all(arm.specs == SMALL.test_streams for arm in judged)


# Reading -------------------------------------------------------------------------------------------------------------


def test_a_memory_that_knows_a_question_is_told_its_words(pocket):
    spec = Spec(1_000_000, 128, turns=True)
    item = Pictures([spec]).item(spec)
    arm = next(a for a in dialogue.arms(FULL, Results([])) if a.condition == "turn 3")
    told = arm.contender.watcher(pocket, item, Manner(room=96)).session.cache.policy.question
    assert told == next(asked.text for asked in item.questions if asked.kind == "turn 3")


def test_the_drop_is_counted_within_a_stream_and_an_arm():
    spec = Spec(1_000_000, 128, turns=True)
    arms = [a for a in dialogue.arms(replace(FULL, test=(1_000_000, 1_000_001)), Results([])) if a.condition]
    # Every memory knows its own question, and of the others only the first.
    records = [
        record(arm, spec, index, kind in (arm.condition, TURNS[0]), kind)
        for arm in arms
        for index, kind in enumerate(TURNS)
    ]
    known, others = dialogue.told(arms, Results(records))
    assert (score_of(known).correct, score_of(known).n) == (5, 5)
    assert (score_of(others).correct, score_of(others).n) == (4, 20)
    drop = dialogue.drop(known, others)
    assert (drop.n, drop.difference) == (20, -16 / 20)


def test_ranks_of_the_papers_rows():
    assert [paper.rank(paper.ABLATION, row) for row in ("full cache", "uniform", "VaN, reversed")] == [1, 7, 9]
    assert paper.rank({"a": 1.0, "b": 1.0, "c": 0.0}, "b") == 1


# Running -------------------------------------------------------------------------------------------------------------


def test_all_of_it_on_two_tiny_streams(tmp_path, pocket):
    path = tmp_path / "ablations.jsonl"
    told: list[tuple[int, int]] = []
    results = run_experiments(EXPERIMENTS, TINY, pocket, RecordLog(path, {}), lambda *count: told.append(count))
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == sorted(done for done, _ in told)
    again = RecordLog(path, {})
    assert to_run(EXPERIMENTS, TINY, again) == {}
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    keys = [(r["policy"], r["budget_fraction"], r["item"], r["index"]) for r in lines]
    assert len(set(keys)) == len(keys), "what several experiments want is run once"
    told_json = as_json(EXPERIMENTS, TINY, results, {"world": "w", "model": "pocket"})
    assert set(told_json["experiments"]) == {experiment.name for experiment in EXPERIMENTS}
    contract = {"policy", "budget_fraction", "kind", "delay", "n", "correct", "accuracy", "low", "high"}
    assert all(contract <= set(row) for row in told_json["rows"])
    assert all(contract <= set(row) for e in told_json["experiments"].values() for row in e["rows"])
    assert {method["trials"] for method in told_json["trials"].values()} == {TINY.trials}
    assert all(method["chosen"] for method in told_json["trials"].values())
    text = as_markdown(EXPERIMENTS, TINY, results, {"world": "w", "model": "pocket"})
    assert all(f"## {experiment.title}" in text for experiment in EXPERIMENTS) and "VaN, reversed" in text
    widest = max(line.count("|") for line in text.splitlines() if line.startswith("| "))
    assert widest <= 7, "tables have few columns"
    assert json.loads(json.dumps(told_json)) == told_json
