"""Every benchmark of the field on its miniature: who knows everything scores 100, who is always wrong 0."""

from __future__ import annotations

import json
import shutil
import threading

import pytest

from infinipot_v.evaluate.field import benchmark_names
from infinipot_v.evaluate.field.judge import FakeJudge
from infinipot_v.evaluate.field.judging import Verdicts, judged
from infinipot_v.evaluate.field.recipes import Recipe, recipe_of, recipes
from infinipot_v.evaluate.field.report import summary, table
from infinipot_v.evaluate.field.running import run_logged, settings_of
from infinipot_v.evaluate.records import RecordLog
from infinipot_v.sources.file import VideoFile
from infinipot_v.types import UserError
from tests.evaluate.field.answerers import Answerer
from tests.evaluate.field.minis import MINIS, OPTIONS

COUNTS = {"judged", "verdicts that cannot be read", "not judged", "a constant Yes, SSR and CRR"}
"""What stands beside the averages."""
QUESTIONS = {
    "videomme": 9, "mlvu": 14, "egoschema": 2, "longvideobench": 4, "rvs-ego": 6, "rvs-movie": 6, "vstream-qa": 7,
    "streamingbench": 8, "ovobench": 15, "proready-qa": 2,
}  # fmt: skip


def test_there_is_a_miniature_of_every_benchmark():
    assert set(MINIS) == set(benchmark_names()) == set(QUESTIONS)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("name", MINIS)
def test_who_knows_everything_scores_100_and_who_is_always_wrong_0(name, right, opened, pocket, tmp_path):
    benchmark = opened(name)
    log = RecordLog(tmp_path / "r.jsonl", settings_of(benchmark, pocket))
    run_logged(benchmark, pocket, [Answerer("uniform", benchmark=benchmark, right=right)], log)
    records = log.records()
    if benchmark.judged:
        judge = FakeJudge()
        records = judged(records, judge, Verdicts(tmp_path / "v.jsonl", judge.settings))
    result = summary(type(benchmark), records, log.left, log.settings)
    assert len(records) == QUESTIONS[name] == result["rows"][0]["n"]
    assert log.left == []
    averages = {key: value for key, value in result["official"][0].items() if key not in ("policy", "budget")}
    top = {key: 5.0 if "0 to 5" in key else 100.0 for key in averages}
    for key in averages.keys() - COUNTS:
        assert averages[key] == (top[key] if right else 0.0), key
    assert all(row["accuracy"] == float(right) for row in result["rows"])
    assert table(type(benchmark), result, records).startswith(f"# {name}\n")
    assert json.loads(json.dumps(result)) == result


def test_a_video_is_watched_once_whatever_it_is_asked(opened, pocket, tmp_path):
    for name, times in (("videomme", 3.0), ("longvideobench", 2.0), ("egoschema", 1.0)):
        benchmark = opened(name)
        log = RecordLog(tmp_path / f"{name}.jsonl", settings_of(benchmark, pocket))
        run_logged(benchmark, pocket, [Answerer("uniform", benchmark=benchmark)], log)
        watched = summary(type(benchmark), log.records(), [], {})["watched"]
        assert (
            watched["times_saved"] == times and watched["frames"] * times == watched["frames_if_each_question_watched"]
        )


def test_recipes_say_where_every_value_comes_from():
    for name, recipe in recipes().items():
        for key in recipe.sources:
            assert recipe.sources[key].strip() and hasattr(recipe, key), (name, key)
        changed = {key for key, value in recipe.as_json().items() if value != getattr(Recipe(name), key)}
        assert changed - {"name"} <= set(recipe.sources)
        more = {"rvs", "egoschema-full", "videomme-subtitles", "longvideobench-subtitles"}
        assert name.partition("/")[2] in {*benchmark_names(), *more}
    assert recipe_of(None, "rvs-ego").name == "infinipot-v/rvs"
    assert recipe_of("infinipot-v/videomme", "videomme").frames_of("qwen2_vl") == 768
    assert recipe_of("infinipot-v/videomme", "videomme").frames_of("llava_onevision") == 128
    with pytest.raises(UserError, match="did you mean 'infinipot-v/ovobench'"):
        recipe_of("infinipot-v/ovobnch", "ovobench")
    with pytest.raises(UserError, match="not for mlvu"):
        recipe_of("infinipot-v/ovobench", "mlvu")


@pytest.mark.parametrize("name", MINIS)
def test_a_wrong_folder_is_refused(name, opened, tmp_path):
    (tmp_path / "something.txt").write_text("else")
    with pytest.raises(UserError, match=f"is not {name}: no "):
        opened(name, tmp_path)


def test_what_is_missing_or_broken_is_named_counted_and_left_out(opened, mini, pocket, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(mini("videomme"), folder)
    (folder / "data" / "yt_1.mp4").unlink()
    (folder / "data" / "yt_2.MP4").write_bytes(b"no video at all")
    benchmark = opened("videomme", folder)
    log = RecordLog(tmp_path / "r.jsonl", settings_of(benchmark, pocket))
    run_logged(benchmark, pocket, [Answerer("uniform", benchmark=benchmark)], log)
    assert {record.item for record in log.records()} == {"data/yt_3.mp4"}
    result = summary(type(benchmark), log.records(), log.left, log.settings)
    missing, broken = result["left_out"]
    assert (missing["what"], missing["why"], missing["questions"]) == ("data/yt_1.mp4", "the video is missing", 3)
    assert broken["what"] == "data/yt_2.MP4" and broken["questions"] == 3 and broken["tried"]
    assert "left out: 6 questions" in table(type(benchmark), result, log.records())
    with pytest.raises(UserError, match="without --strict it is left out"):
        opened("videomme", folder, strict=True).items()
    # Mended, they are watched, and are left out no more.
    for name in ("yt_1.mp4", "yt_2.MP4"):
        shutil.copy(folder / "data" / "yt_3.mp4", folder / "data" / name)
    again = opened("videomme", folder)
    log = RecordLog(tmp_path / "r.jsonl", settings_of(again, pocket))
    run_logged(again, pocket, [Answerer("uniform", benchmark=again)], log)
    assert log.left == [] and len(log.records()) == QUESTIONS["videomme"]


def test_a_record_with_a_missing_or_a_wrong_field_is_left_out_by_name(opened, mini, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(mini("ovobench"), folder)
    path = folder / "ovo_bench_new.json"
    records = json.loads(path.read_text())
    del records[0]["gt"]
    records[1]["realtime"] = "soon"
    records[2]["gt"] = 17
    records[3]["task"] = "XXX"
    path.write_text(json.dumps(records))
    benchmark = opened("ovobench", folder)
    assert sum(len(item.questions) for item in benchmark.items()) == QUESTIONS["ovobench"] - 4
    told = {left.what: left.why for left in benchmark.left}
    assert told["record 0"] == "the field 'gt' is missing" and set(told) == {f"record {n}" for n in range(4)}
    assert all("cannot be read" in told[f"record {n}"] for n in (1, 2, 3))
    path.write_text("[{]")
    with pytest.raises(UserError, match="is damaged"):
        opened("ovobench", folder).items()


def test_the_whole_video_gives_no_more_frames_than_the_recipe_says(opened, pocket):
    from dataclasses import replace

    benchmark = opened("videomme")
    benchmark.recipe = replace(benchmark.recipe, frames=5, fps=2.0)
    item = benchmark.sized(benchmark.items()[0], pocket)
    with benchmark.frames(item) as frames:
        times = [frame.seconds for frame in frames]
    assert len(times) == 5 and times[0] < 1 and times[-1] > 8
    assert item.tokens >= 3 * item.step_tokens and item.seconds == pytest.approx(12, abs=0.6)


def test_only_so_many_videos(opened):
    assert [len(opened("videomme", limit=limit).items()) for limit in (1, 2, 9)] == [1, 2, 3]
    assert len(OPTIONS) == 4


def test_a_full_cache_that_does_not_fit_is_left_out_and_the_rest_runs(opened, pocket, tmp_path):
    """Of three videos the last is too long for the model's positions, without a budget."""
    from dataclasses import replace

    from infinipot_v.evaluate.contenders import contenders

    benchmark = opened("videomme")
    benchmark.recipe = replace(benchmark.recipe, fps=1.0)
    config = pocket.text_config
    limit, config.max_position_embeddings = config.max_position_embeddings, 600
    try:
        log = RecordLog(tmp_path / "r.jsonl", settings_of(benchmark, pocket))
        taking_part = contenders(["full", "infinipot-v"], budgets=["32"])
        run_logged(benchmark, pocket, taking_part, log)
        assert {record.policy for record in log.records()} == {"full", "infinipot-v"}
        config.max_position_embeddings = 514  # prefix and room leave none to the video
        again = RecordLog(tmp_path / "s.jsonl", settings_of(benchmark, pocket))
        with pytest.raises(UserError, match="room"):  # a budget that was asked for and cannot be had stops
            run_logged(benchmark, pocket, taking_part[::-1], again)
        run_logged(benchmark, pocket, taking_part[:1], again)
        assert [left.policy for left in again.left] == ["full"] * 3 and again.records() == []
        assert "it does not fit" in again.left[0].why and sum(left.questions for left in again.left) == 9
    finally:
        config.max_position_embeddings = limit


@pytest.mark.parametrize("name", MINIS)
def test_settings_do_not_depend_on_what_was_read_before(name, opened):
    before, other = opened(name).settings, opened(name)
    assert other.items() and other.settings == before == other.settings


@pytest.mark.parametrize("content", ["{}", "3", "[3, null, [], {}]", '["a"]', "[[1], [[2]]]"])
@pytest.mark.parametrize("name", MINIS)
def test_records_that_are_none_are_left_out_or_refused_in_one_line(name, content, opened, mini, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(mini(name), folder)
    for path in folder.rglob("*.json"):
        path.write_text(content)
    for path in folder.rglob("*.parquet"):
        path.unlink()
        (folder / "test.json").write_text(content)
    told = ""
    try:
        assert opened(name, folder).items() == ()
    except UserError as error:
        told = str(error)
    assert not told or ("download it again" in told and "\n" not in told)


def test_special_tokens_and_questions_that_are_too_long_do_not_stop_a_run(opened, mini, pocket, tmp_path):
    from dataclasses import replace

    from infinipot_v.evaluate.contenders import contenders

    folder = tmp_path / "set"
    shutil.copytree(mini("ovobench"), folder)
    path = folder / "ovo_bench_new.json"
    records = json.loads(path.read_text())
    records[0]["question"] = "What is <|im_end|> there?"
    records[1]["question"] = "what " * 900
    path.write_text(json.dumps(records))
    benchmark = opened("ovobench", folder)
    benchmark.recipe = replace(benchmark.recipe, max_new_tokens=2)
    log = RecordLog(tmp_path / "r.jsonl", settings_of(benchmark, pocket))
    run_logged(benchmark, pocket, contenders(["infinipot-v", "last-frames"], budgets=["32"]), log)
    result = summary(type(benchmark), log.records(), log.left, log.settings)
    assert [row["refused"] for row in result["cost"]] == [1, 1] and result["rows"][0]["n"] == 15
    refused = [record for record in log.records() if record.finish == "refused"]
    assert all(record.reply == "" and not record.parsed and not record.correct for record in refused)


def test_videos_are_decoded_ahead_and_closed(opened, pocket, monkeypatch):
    names, usual = set(), VideoFile._give

    def giving(source):
        for frame in usual(source):
            names.add(threading.current_thread().name)
            yield frame

    monkeypatch.setattr(VideoFile, "_give", giving)
    benchmark = opened("videomme")
    item = benchmark.sized(next(iter(benchmark.items())), pocket)
    with benchmark.frames(item) as frames:
        assert next(frames).seconds == 0.0 and names == {"ahead"}
    assert "ahead" not in [thread.name for thread in threading.enumerate()]


def test_damage_in_mid_video_is_told(opened, mini, pocket, tmp_path):
    from infinipot_v.evaluate.contenders import contenders
    from tests.videos import damage

    folder = tmp_path / "set"
    shutil.copytree(mini("videomme"), folder)
    damage(folder / "data" / "yt_1.mp4", 0.55, 0.7)
    benchmark = opened("videomme", folder)
    log = RecordLog(tmp_path / "r.jsonl", settings_of(benchmark, pocket))
    run_logged(benchmark, pocket, contenders(["infinipot-v"], budgets=["32"]), log)
    result = summary(type(benchmark), log.records(), log.left, log.settings)
    assert len(log.records()) == 9 and log.left == []
    assert len(result["damaged"]) == 1 and "yt_1.mp4" in result["damaged"][0]
