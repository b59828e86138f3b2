"""Subtitles of the benchmarks that have some: said in the stream, by LongVideoBench's rule, in both files' forms."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from infinipot_v.evaluate.base import BrokenVideo
from infinipot_v.evaluate.contenders import contenders
from infinipot_v.evaluate.field.recipes import recipe_of
from infinipot_v.evaluate.field.running import run_logged, settings_of
from infinipot_v.evaluate.records import RecordLog
from infinipot_v.types import UserError

HEARD = {
    "videomme": {
        "data/yt_1.mp4": {
            1.0: "Welcome to yt_1",
            2.0: "a word",
            5.0: "Three of them\nand a line more",
            11.0: "Good bye",
        },
        "data/yt_2.MP4": {
            1.0: "Welcome to yt_2",
            2.0: "a word",
            5.0: "Three of them\nand a line more",
            11.0: "Good bye",
        },
        "data/yt_3.mp4": {},
    },
    "longvideobench": {
        "videos/v0.mp4": {2.0: "A star at the door", 9.5: "and no more"},
        "videos/v1.mp4": {3.0: "Where is the key?", 11.5: "Here"},
    },
}
"""By hand, at two frames a second: the frame at or before each middle."""


def heard(benchmark, item, model):
    sized = benchmark.sized(item, model)
    with benchmark.frames(sized) as frames:
        return {frame.seconds: frame.text for frame in frames if frame.text}


@pytest.mark.parametrize("name", HEARD)
def test_what_is_said_is_said_at_its_frame(name, opened, pocket):
    benchmark = opened(name, recipe=f"infinipot-v/{name}-subtitles")
    assert {item.name: heard(benchmark, item, pocket) for item in benchmark.items()} == HEARD[name]
    silent = opened(name)
    assert all(not heard(silent, item, pocket) for item in silent.items())


def test_what_no_frame_shows_is_not_said(opened, pocket):
    """Frames at 0, 5 and 10 s: of four cues one lies around such a moment."""
    benchmark = opened("videomme", recipe="infinipot-v/videomme-subtitles")
    benchmark.recipe = replace(benchmark.recipe, fps=0.2)
    assert heard(benchmark, benchmark.items()[0], pocket) == {5.0: "Three of them\nand a line more"}


def test_the_wording_is_that_of_the_track(opened):
    asked = opened("videomme").items()[0].questions[0]
    silent, spoken = (opened("videomme", recipe=f"infinipot-v/{name}").prompt(asked)
                      for name in ("videomme", "videomme-subtitles"))  # fmt: skip
    assert "based on the video. Respond" in silent
    assert "based on the video and the subtitles. Respond" in spoken
    assert spoken.replace(" and the subtitles", "") == silent


@pytest.mark.parametrize("name", HEARD)
def test_everybody_can_listen(name, opened, pocket, tmp_path):
    """A run with a memory, its rival with all at hand, and the controls; each sees more tokens than in silence."""
    policies, seen = ("infinipot-v", "rekv", "last-frames", "blind", "full"), {}
    for recipe in (name, f"{name}-subtitles"):
        benchmark = opened(name, recipe=f"infinipot-v/{recipe}")
        log = RecordLog(tmp_path / f"{recipe}.jsonl", settings_of(benchmark, pocket))
        run_logged(benchmark, pocket, contenders(policies, budgets=["300"]), log)
        assert log.left == []
        for record in log.records():
            seen[recipe, record.policy, record.item] = record.seen_tokens
    for (recipe, policy, item), tokens in seen.items():
        if recipe != name and HEARD[name][item]:
            silent = seen[name, policy, item]
            assert tokens > silent if policy in ("infinipot-v", "rekv", "full") else tokens >= silent


def test_a_share_of_the_full_cache_counts_what_is_said(opened, pocket):
    silent, spoken = (opened("videomme", recipe=f"infinipot-v/{name}") for name in ("videomme", "videomme-subtitles"))
    for one, other in zip(silent.items(), spoken.items(), strict=True):
        more = spoken.sized(other, pocket).tokens - silent.sized(one, pocket).tokens
        assert more > 0 if HEARD["videomme"][one.name] else more == 0


def test_videos_without_subtitles_are_usual_and_a_missing_folder_is_not(opened, mini, pocket, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(mini("videomme"), folder)
    shutil.rmtree(folder / "subtitle")
    benchmark = opened("videomme", folder, recipe="infinipot-v/videomme-subtitles")
    with pytest.raises(UserError, match="unpack subtitle.zip"):
        benchmark.sized(benchmark.items()[0], pocket)


STRANGE = {
    "damaged": "[{",
    "strange": '[{"start": "soon", "end": "later", "line": "x"}]',
    "numbers": '[{"start": 5, "end": 6, "line": "x"}]',
    "no text": '[{"timestamp": [1.0, 2.0], "text": null}]',
    "no number": '[{"timestamp": [NaN, 2.0], "text": "x"}]',
    "deep": "[" * 100_000,
    "long": json.dumps([{"start": "9" * 400 + ":00:00", "end": "9" * 401 + ":00:00", "line": "x"}]),
    "no list": "7",
}


@pytest.mark.parametrize("harm", ["missing", *STRANGE])
def test_subtitles_that_cannot_be_read_leave_the_video_out_by_name(harm, opened, mini, pocket, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(mini("longvideobench"), folder)
    path = folder / "subtitles" / "v0_en.json"
    if harm == "missing":
        path.unlink()
    else:
        path.write_text(STRANGE[harm])
    benchmark = opened("longvideobench", folder, recipe="infinipot-v/longvideobench-subtitles")
    with pytest.raises(BrokenVideo, match="v0_en.json"):
        benchmark.sized(benchmark.items()[0], pocket)
    log = RecordLog(tmp_path / "r.jsonl", settings_of(benchmark, pocket))
    run_logged(benchmark, pocket, contenders(["sliding-window"], budgets=["300"]), log)
    assert [left.what for left in log.left] == ["videos/v0.mp4"] and len(log.records()) == 2


def test_half_a_character_is_said_as_a_question_mark(opened, mini, pocket, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(mini("longvideobench"), folder)
    (folder / "subtitles" / "v0_en.json").write_text('[{"timestamp": [1.0, 2.0], "text": "smile \\ud83d"}]')
    benchmark = opened("longvideobench", folder, recipe="infinipot-v/longvideobench-subtitles")
    assert heard(benchmark, benchmark.items()[0], pocket) == {1.5: "smile ?"}


def test_a_run_with_other_subtitles_is_another(opened, mini, pocket, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(mini("videomme"), folder)
    before, silent = (
        settings_of(opened("videomme", folder, recipe=f"infinipot-v/{name}"), pocket)
        for name in ("videomme-subtitles", "videomme")
    )
    assert before["subtitles"]["files"] == 2 and "subtitles" not in silent
    (folder / "subtitle" / "yt_2.srt").unlink()
    after = settings_of(opened("videomme", folder, recipe="infinipot-v/videomme-subtitles"), pocket)
    assert after["subtitles"]["files"] == 1 and after["subtitles"]["digest"] != before["subtitles"]["digest"]


def test_records_without_the_fields_are_left_out_where_they_are_needed(opened, mini, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(mini("longvideobench"), folder)
    rows = json.loads((folder / "lvb_val.json").read_text())
    del rows[0]["starting_timestamp_for_subtitles"]
    (folder / "lvb_val.json").write_text(json.dumps(rows))
    spoken = opened("longvideobench", folder, recipe="infinipot-v/longvideobench-subtitles")
    assert sum(len(item.questions) for item in spoken.items()) == 3 and "starting_timestamp" in spoken.left[0].why
    assert sum(len(item.questions) for item in opened("longvideobench", folder).items()) == 4


def test_other_benchmarks_have_no_subtitles():
    with pytest.raises(UserError, match="not for mlvu"):
        recipe_of("infinipot-v/videomme-subtitles", "mlvu")
