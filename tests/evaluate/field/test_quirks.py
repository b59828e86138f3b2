"""Every quirk of the field's benchmarks, worked by hand: what counts as right, and what as nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.egoschema import EgoSchema
from infinipot_v.evaluate.field.letters import letter_of, lettered, said_letter
from infinipot_v.evaluate.field.longvideobench import LongVideoBench
from infinipot_v.evaluate.field.mlvu import MLVU
from infinipot_v.evaluate.field.open_ended import OpenEnded
from infinipot_v.evaluate.field.ovobench import OVOBench
from infinipot_v.evaluate.field.proready_qa import ProReadyQA, readiness
from infinipot_v.evaluate.field.streamingbench import StreamingBench, in_window
from infinipot_v.evaluate.field.times import seconds_of
from infinipot_v.evaluate.field.videomme import VideoMME
from infinipot_v.evaluate.records import Record


def right(benchmark: type[Any], answer: str, reply: str, kind: str = "x", **more: Any) -> bool:
    """By the official reading, which needs no data."""
    return bool(benchmark.correct(object.__new__(benchmark), Asked("?", answer, kind, **more), reply))


def record(right: bool, kind: str = "x", **more: Any) -> Record:
    return Record("p", 0.5, "item", 0, 1, kind, 0.0, "?", more.pop("answer", "A"), "", right, 1, 1, 0.1, **more)


# OVO-Bench -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reply", "expected"),
    [
        ("B", "B", True), ("B", "B. a key", True), ("A", "Answer: B", True), ("B", "Answer: B", True),
        ("D", "D. Because it is", True), ("B", "D. Because it is", True), ("A", "a", False), ("A", "", False),
    ],
)  # fmt: skip
def test_ovobench_letters_are_substrings(answer, reply, expected):
    assert right(OVOBench, answer, reply, "EPM", options=("a", "b", "c", "d")) is expected


@pytest.mark.parametrize(
    ("answer", "reply", "expected"),
    [("3", "3", True), ("3", "3 times", True), ("3", "3 times, 2 people", False), ("32", "3 times, 2 people", True),
     ("3", "three", False), ("3", "", False), ("0", "0.", True)],
)  # fmt: skip
def test_ovobench_counts_are_all_digits_together(answer, reply, expected):
    assert right(OVOBench, answer, reply, "REC") is expected


@pytest.mark.parametrize(
    ("answer", "reply", "expected"),
    [("No", "No", True), ("No", "no", False), ("No", "Not sure", True), ("No", "N", True), ("Yes", "Y", True),
     ("Yes", "yes", False), ("Yes", "Yes, they do", True), ("No", "No, or rather Yes", True), ("Yes", "No, Yes", True)],
)  # fmt: skip
def test_ovobench_yes_and_no_mind_their_case(answer, reply, expected):
    assert right(OVOBench, answer, reply, "SSR", yes_no=True) is expected


def test_ovobench_averages_are_of_tasks_and_of_regimes():
    # EPM 1 of 2, ASI 1 of 1 -> backward (50 + 100) / 2 = 75; OCR 0 of 1 -> 0; REC 1 of 1 -> 100
    records = [
        record(True, "EPM"),
        record(False, "EPM"),
        record(True, "ASI"),
        record(False, "OCR"),
        record(True, "REC"),
    ]
    averages = OVOBench.official(records)
    assert (averages["backward"], averages["real-time"], averages["forward"]) == (75.0, 0.0, 100.0)
    assert averages["average of three regimes"] == pytest.approx(175 / 3)
    assert averages["(real-time + backward) / 2"] == 37.5
    without = OVOBench.official(records[:3])
    assert without["average of three regimes"] is None and without["(real-time + backward) / 2"] is None
    constant = [record(True, "SSR", answer=answer) for answer in ("Yes", "Yes", "No")]
    assert OVOBench.official(constant)["a constant Yes, SSR and CRR"] == pytest.approx(200 / 3)


def test_ovobench_takes_the_place_and_not_the_text(opened):
    asked = {one.identity: one for item in opened("ovobench").items() for one in item.questions}
    # `answer` is another text in 420 official records; `gt` counts. Options are two to five.
    assert [asked[f"{n}"].answer for n in range(4)] == ["A", "B", "A", "B"]
    assert {len(asked[f"{n}"].options) for n in range(9)} == {2, 3, 4}
    assert "A. a star; B. a key;\n" in opened("ovobench").prompt(asked["0"])


def test_ovobench_probes_come_in_order_of_time_and_keep_their_number(opened):
    film = next(item for item in opened("ovobench").items() if "&" in item.name)
    times = [one.at for one in film.questions]
    assert times == sorted(times) and len(times) == 6
    assert [one.identity for one in film.questions if one.kind == "SSR"] == ["10_1", "10_0"]
    assert next(one for one in film.questions if one.kind == "REC").text == "How many times did they jump?"


def test_a_query_in_the_first_moment_sees_a_frame(opened, mini, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(mini("ovobench"), folder)
    path = folder / "ovo_bench_new.json"
    records = json.loads(path.read_text())
    records[0]["realtime"] = 0.03
    path.write_text(json.dumps(records))
    benchmark = opened("ovobench", folder)
    item = benchmark.items()[0]
    with benchmark.frames(item) as frames:
        assert next(frames).seconds < item.questions[0].at


# StreamingBench ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected"), [("A", True), ("A. x", True), (" A", False), ("(A)", False), ("Apple", True), ("", False)]
)
def test_streamingbench_reads_the_first_character(reply, expected):
    assert right(StreamingBench, "A", reply, group="real") is expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:31", 31), ("0:04:28", 268), ("00:24", 24), ("01:00:00.5", 3600.5), ("7", 7)]
)
def test_times_come_in_several_forms(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "", "-3", "0:-3"])
def test_no_time(text):
    with pytest.raises(ValueError, match=r"."):
        seconds_of(text)


@pytest.mark.parametrize(("at", "expected"), [(3, False), (4, True), (6, True), (8, True), (9, False)])
def test_a_proactive_answer_is_in_time_within_two_seconds_both_included(at, expected):
    assert in_window(record(False, at=float(at), truth=6.0, follow_up="x")) is expected
    assert not in_window(record(False, at=float(at), truth=6.0))  # never yes


def test_proactive_questions_are_polled_every_second_up_to_four_behind_the_truth(opened):
    benchmark = opened("streamingbench")
    item = next(item for item in benchmark.items() if "proactive" in item.name)
    assert [one.at for one in item.questions] == [3, 4, 5, 6, 7, 8, 9, 10]
    asked = item.questions[0]
    assert 'Is it the right time to output "3"? You can only answer yes or no.' in benchmark.prompt(asked)
    assert benchmark.follow_up(asked, "No.") is None
    assert benchmark.follow_up(asked, "Oh YES").count("right time") == 0
    replies = {3: "no", 4: "no", 5: "Yes!", 6: "yes"}
    polls = [
        replace(record(False, at=float(at), truth=6.0, series="s", answer="3"), reply=text,
                follow_up={5: "it is 3", 6: "4"}.get(at))
        for at, text in replies.items()
    ]  # fmt: skip
    (decided,) = benchmark.settled(polls)
    assert (decided.at, decided.correct) == (5.0, True) and [poll[0] for poll in decided.polls] == [3, 4, 5, 6]
    wrong = [replace(poll, follow_up=poll.follow_up and "4") for poll in polls]
    (decided,) = benchmark.settled(wrong)
    averages = StreamingBench.official([replace(decided, group="proactive")])
    assert (averages["proactive, in time"], averages["proactive, right"]) == (100.0, 0.0)


def test_sequential_questions_are_told_the_earlier_ones_with_the_true_letter(opened):
    benchmark = opened("streamingbench")
    first, second = next(item for item in benchmark.items() if "sqa" in item.name).questions
    assert first.context == "" and "contextual information related" not in benchmark.prompt(first)
    told = benchmark.prompt(second)
    assert "At timestamp 00:00:04, the following question and answer occurred:" in told
    assert "Options: A. a star, B. a key, C. a cup, D. nothing; Answer: A" in told


def test_windows_of_one_video_are_one_item_and_only_four_options_are_shown(opened, mini, tmp_path):
    item = next(item for item in opened("streamingbench").items() if "sample_1_real" in item.name)
    assert [one.at for one in item.questions] == [3, 5, 9]  # the window [0:00:00 - 0:00:10] bounds nothing
    folder = tmp_path / "set"
    shutil.copytree(mini("streamingbench"), folder)
    path = folder / "questions_omni.json"
    records = json.loads(path.read_text())
    records[0]["questions"][0]["options"] = ["A. x", "", "B. y", "C. z", "", "D. w"]
    records[0]["video_path"] = "/somebody/else/videos/sample_3_Scene_Understanding_1-25.mp4"
    path.write_text(json.dumps(records))
    benchmark = opened("streamingbench", folder)
    asked = next(item for item in benchmark.items() if "Scene" in item.name).questions[0]
    assert "A. x\n\nB. y\nC. z\n\nThe best option is:" in benchmark.prompt(asked)


# Those that watch first ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "letter"),
    [("B", "B"), ("The best answer is B.", "B"), ("Because of it", "B"), ("The answer is: D", "D"), ("none", ""),
     ("Answer: C", "C"), ("apples", ""), ("Apples", "A")],
)  # fmt: skip
def test_videomme_takes_the_first_capital(reply, letter):
    assert right(VideoMME, letter or "A", reply) is bool(letter)
    assert VideoMME.parsed(object.__new__(VideoMME), Asked("?", "A", "x"), reply) is bool(letter)


def test_videomme_says_both_numbers_where_replies_cannot_be_read():
    records = [record(True, group="short"), record(False, group="short"), record(False, group="long", parsed=False)]
    averages = VideoMME.official(records)
    assert averages["overall"] == pytest.approx(100 / 3) and averages["overall, of parsed replies only"] == 50.0
    assert averages["short"] == 50.0 and averages["medium"] is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("C", True), ("C.", False), ("(C) x", True), ("C) x", True), ("", False), ("the best is C)", True), ("c", False)],
)
def test_mlvu_takes_the_character_before_the_bracket_or_the_whole(reply, expected):
    assert right(MLVU, "C", reply, options=("a", "b", "c", "d")) is expected


def test_mlvu_equal_candidates_and_answers_that_are_none(opened, mini, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(mini("mlvu"), folder)
    path = folder / "json" / "2_needle.json"
    rows = json.loads(path.read_text())
    rows[0].update(candidates=["x", "y", "x", "z"], answer="x")
    rows[1].update(answer="nothing of these")
    path.write_text(json.dumps(rows))
    benchmark = opened("mlvu", folder)
    first, second = next(item for item in benchmark.items() if "needle" in item.name).questions
    assert (first.answer, first.kind) == ("C", "needle")  # the last of equals; the file's name, not findNeedle
    assert second.answer == "@" and not any(right(MLVU, "@", reply) for reply in ("A", "(B)", ""))
    assert benchmark.prompt(first).endswith("(D) z\nOnly give the best option.\nBest option: (")
    (folder / "json" / "3_ego.json").unlink()
    benchmark = opened("mlvu", folder)
    assert len(benchmark.items()) == 6 and benchmark.left[0].what == "3_ego.json"


def test_mlvu_says_macro_and_micro():
    records = [record(True, "ego"), record(False, "count"), record(False, "count"), record(False, "count")]
    assert MLVU.official(records)["M-Avg (macro)"] == 50.0 and MLVU.official(records)["micro"] == 25.0


def test_egoschema_runs_the_subset_and_makes_a_submission_of_all(opened):
    benchmark = opened("egoschema")
    assert [item.questions[0].identity for item in benchmark.items()] == ["uid-0", "uid-2"]
    everything = opened("egoschema")
    everything.recipe = replace(everything.recipe, everything=True)
    assert len(everything.items()) == 3
    answered = [replace(record(False, identity=uid), reply=text)
                for uid, text in (("uid-1", "D"), ("uid-2", "no idea"))]  # fmt: skip
    assert EgoSchema.submission(answered) == {"uid-1": 3, "uid-2": 0}
    assert EgoSchema.submission([replace(one, group="subset") for one in answered]) is None
    assert EgoSchema.official([replace(record(True), group="subset"), record(False)]) == {"subset": 100.0}
    assert not right(EgoSchema, "A", "I cannot tell")  # lmms-eval would draw one of five


@pytest.mark.parametrize(
    ("reply", "letter"), [("Answer: B", "A"), ("The answer is B", "B"), ("Every one", "E"), ("nothing", "")]
)
def test_longvideobench_takes_the_first_capital_to_e(reply, letter):
    assert right(LongVideoBench, letter or "C", reply) is bool(letter)


def test_longvideobench_drops_missing_options(opened, mini, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(mini("longvideobench"), folder)
    path = folder / "lvb_val.json"
    rows = json.loads(path.read_text())
    rows[0]["candidates"] = ["a", "b", "N/A", "N/A"]
    path.write_text(json.dumps(rows))
    asked = opened("longvideobench", folder).items()[0].questions[0]
    assert asked.options == ("a", "b") and asked.group == "15 s"


# Free answers --------------------------------------------------------------------------------------------------------


def test_conversations_are_put_in_order_of_their_ends(opened):
    for item in opened("rvs-ego").items():
        assert [one.at for one in item.questions] == [4.5, 9.0, 12.0]


def test_films_may_be_arrays_or_folders_of_key_frames_at_one_a_second(opened, pocket):
    benchmark = opened("rvs-movie")
    item = next(item for item in benchmark.items() if item.name.endswith(".npy"))
    sized = benchmark.sized(item, pocket)
    with benchmark.frames(sized) as frames:
        assert [frame.seconds for frame in frames] == [0, 2, 4, 6, 8, 10]  # half a frame a second
    assert sized.seconds == 12
    benchmark = opened("vstream-qa")
    item = next(item for item in benchmark.items() if item.name.endswith("/10"))
    sized = benchmark.sized(item, pocket)
    with benchmark.frames(sized) as frames:
        assert [frame.seconds for frame in frames] == [0, 2, 4]
    assert sized.seconds == 5


def test_moments_of_one_original_are_one_stream_and_clips_are_cut(opened, pocket):
    items = {item.name: item for item in opened("vstream-qa").items()}
    assert [one.at for one in items["ego4d_videos/original.mp4"].questions] == [3, 6, 9]
    cut = items["ego4d_videos/original.mp4@2-8"]
    assert [one.at for one in cut.questions] == [None, None]
    benchmark = opened("vstream-qa")
    benchmark.items()
    sized = benchmark.sized(cut, pocket)
    with benchmark.frames(sized) as frames:
        times = [frame.seconds for frame in frames]
    assert sized.seconds == 6 and times[0] == 0 and times[-1] < 6


def test_unreadable_verdicts_are_counted_and_not_taken_for_a_no():
    records = [replace(record(False), verdict=word, score=score, correct=word == "yes")
               for word, score in (("yes", 4.0), ("no", 1.0), ("unreadable", None), ("", None))]  # fmt: skip
    assert OpenEnded.official(records) == {
        "accuracy": 50.0, "score (0 to 5)": 2.5, "judged": 2.0, "verdicts that cannot be read": 1.0, "not judged": 1.0,
    }  # fmt: skip


# ProReady-QA ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        (10, 1.0), (14, 1.0), (18, 0.0), (16, 0.5),  # evidence 10 to 14, tau 4: late costs linearly
        (9, 2 / (1 + 2.718281828**1.5)), (8, 2 / (1 + 2.718281828**3)), (-1000, 0.0),  # early, steeply
    ],
)  # fmt: skip
def test_readiness_by_hand(answered, expected):
    assert readiness(answered, 10, 14, 4) == pytest.approx(expected, abs=1e-6)


def test_proready_gives_the_product_of_means_and_the_mean_of_products():
    at = {"truth": 10.0}
    timely = replace(record(True, at=12.0, follow_up="A", **at), delay=4.0)
    late = replace(record(True, at=16.0, follow_up="A", **at), delay=4.0)
    never = replace(record(False, at=20.0, **at), delay=4.0)
    averages = ProReadyQA.official([timely, late, never])
    # ARS (1 + .5 + 0) / 3 = .5; accuracy 2 of 3; product .333; mean of products (1 + .5) / 3 = .5
    assert averages["ARS"] == pytest.approx(50, abs=1e-3) and averages["accuracy"] == pytest.approx(200 / 3)
    assert averages["Acc x ARS"] == pytest.approx(100 / 3, abs=1e-3)
    assert averages["mean of Acc x ARS"] == pytest.approx(50, abs=1e-3)


# Letters -------------------------------------------------------------------------------------------------------------


def test_letters():
    assert lettered(["x", "y"]) == ["A. x", "B. y"]
    assert lettered(["A. x", "B.y "]) == ["A. x", "B.y"] == lettered(["A. x", "B.y"])
    assert lettered(["(A) x", "(B) y"]) == ["(A) x", "(B) y"]
    assert [letter_of(given, ["x", "y"]) for given in (0, 1, "x", "y", "B")] == ["A", "B", "A", "B", "B"]
    for given in (2, -1, "z", "C", True, None, 1.5):
        with pytest.raises(ValueError, match="answer"):
            letter_of(given, ["x", "y"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reply", "letter"),
    [("B", "B"), ("(B)", "B"), ("B.", "B"), ("**B**", "B"), ("The answer is B.", "B"), ("Because", None), ("", None),
     ("F", None), ("b", None), ("Option D: it", "D")],
)  # fmt: skip
def test_said_letters(reply, letter):
    assert said_letter(reply, 5) == letter
