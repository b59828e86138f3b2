"""`infinipot-v ask`: answers, questions on the way, several videos, Ctrl-C, and what the JSON says."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import warnings
from pathlib import Path

import pytest

from infinipot_v.session import Session
from tests.videos import write_video

CLIPS = {"people-one-by-one.mp4": 2.0, "bottles.mp4": 4.0, "big-buck-bunny-30s.mp4": 6.0, "pig.mp4": 24.0}
"""Frames a second at which a sixteenth of the clip's tokens is at least four steps."""
SHORT = ("--max-new-tokens", 4)


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_at_a_sixteenth_of_its_tokens(media, checkpoint, run, name):
    folder, clip = checkpoint("qwen2_vl"), media / name
    ask = ("ask", clip, "What happens?", "And then?", "--model", folder, "--fps", CLIPS[name], "--max-new-tokens", 8)
    full = json.loads(run(*ask, "--policy", "full", "--tokens-per-step", 32, "--json")[1])
    seen, steps = full["memory"]["seen_tokens"], full["video"]["steps"]
    budget = seen // 16
    assert budget >= 4 * (seen // steps), "a sixteenth must hold four steps"
    code, out, err = run(*ask, "--budget", budget, "--tokens-per-step", 32, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    memory = result["memory"]
    assert result["video"] == full["video"] and memory["seen_tokens"] == seen
    assert memory["held_tokens"] <= memory["budget_tokens"] == budget
    assert memory["compressions"] > 10
    assert memory["nbytes"] <= memory["cap_bytes"] < full["memory"]["nbytes"] and memory["peak_bytes"] > 0
    assert [answer["question"] for answer in result["answers"]] == ["What happens?", "And then?"]
    assert all(0 < answer["first_token_seconds"] <= answer["seconds"] for answer in result["answers"])
    assert (result["model"], result["policy"]) == (str(folder), "infinipot-v")


def test_answers_are_printed_and_bytes_are_a_budget(clip, checkpoint, process, run):
    folder = checkpoint("qwen2_5_vl")
    ask = ("ask", clip, "What?", "--model", folder, "--fps", 5, "--budget", "2MiB", *SHORT)
    done = process(*ask)
    assert (done.returncode, done.stderr) == (0, ""), "no bars, no notices of libraries"
    assert done.stdout.startswith("> What?\n") and "\x1b" not in done.stdout
    assert json.loads(run(*ask, "--json")[1])["memory"]["cap_bytes"] <= 2 * 2**20


def test_policy_options_and_decoding_reach_the_session(clip, checkpoint, run):
    code, out, err = run(
        "ask", clip, "What?", "--model", checkpoint("qwen2_vl"), "--fps", 10, "--budget", 64, "--tokens-per-step", 16,
        "-o", "alpha=0.25", "-o", "pooling=off", "--temperature", 1.5, "--top-k", 5, "--seed", 3,
        "--system", "Be brief.", "--positions", "hf", "--block", 2, "--keep", 0.5, "--max-new-tokens", 5, "--json",
    )  # fmt: skip
    assert code == 0, err
    memory = json.loads(out)["memory"]
    assert "alpha=0.25" in memory["policy"] and "pooling='off'" in memory["policy"]
    assert set(memory["kernels"]) == {1} and memory["budget_tokens"] == 64


@pytest.fixture
def watched(monkeypatch) -> list[tuple[str, int]]:
    """What was asked, and how many frames had been seen then."""
    asked: list[tuple[str, int]] = []
    ask = Session.ask

    def noting(session, question, **more):
        asked.append((question, session.report().frames))
        return ask(session, question, **more)

    monkeypatch.setattr(Session, "ask", noting)
    return asked


def test_questions_on_the_way_are_asked_when_the_stream_comes_to_them(clip, checkpoint, run, watched):
    timed = ("--ask-at", 2, "Now?", "--ask-at", 0.5, "So soon?", "--ask-at=1.05", "And now?")
    code, out, err = run(
        "ask", clip, "At last?", "--model", checkpoint("qwen2_vl"), "--fps", 10, *timed, *SHORT, "--json"
    )
    assert code == 0, err
    # The frame at the second itself has been seen; two frames a step, and a waiting one counts too.
    assert watched == [("So soon?", 6), ("And now?", 11), ("Now?", 21), ("At last?", 40)]
    answers = json.loads(out)["answers"]
    assert [(a["question"], a["at_seconds"]) for a in answers] == [
        ("So soon?", 0.5), ("And now?", 1.05), ("Now?", 2.0), ("At last?", 3.9),
    ]  # fmt: skip


def test_asking_on_the_way_leaves_the_memory_as_if_nobody_had_asked(clip, checkpoint, run):
    ask = ("ask", clip, "At last?", "--model", checkpoint("qwen2_vl"), "--fps", 10, "--budget", 64, *SHORT, "--json",
           "--tokens-per-step", 16)  # fmt: skip
    memories = [json.loads(run(*ask, *more)[1])["memory"] for more in ((), ("--ask-at", 1, "Now?"))]
    for memory in memories:
        del memory["peak_bytes"], memory["variations"]  # other blocks, other last bits
    assert memories[0] == memories[1] and memories[0]["compressions"] > 0


def test_a_question_on_the_way_is_enough_and_says_its_time(clip, checkpoint, run):
    code, out, _ = run("ask", clip, "--ask-at", "1", "Now?", "--model", checkpoint("qwen2_vl"), *SHORT)
    assert code == 0 and out.startswith("> [1 s] Now?\n")


def test_several_videos_are_one_stream(clip, checkpoint, run, tmp_path):
    second = write_video(tmp_path / "second.mp4", frames=20, fps=10)
    ask = ("ask", clip, "--then", second, "What?", "--model", checkpoint("qwen2_vl"), "--fps", 10, *SHORT, "--json")
    code, out, err = run(*ask, "--ask-at", 5, "And in the second?")
    assert code == 0, err
    result = json.loads(out)
    assert result["video"]["frames"] == 60
    assert [answer["at_seconds"] for answer in result["answers"]] == [5.0, pytest.approx(5.9, abs=0.11)]


def interrupt_encoding(monkeypatch, call: int) -> None:
    """A real SIGINT inside the encoder, at its n-th call."""
    encode, calls = Session._encode, []

    def encoding(session, frames):
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return encode(session, frames)

    monkeypatch.setattr(Session, "_encode", encoding)


def test_ctrl_c_while_watching_answers_from_what_was_watched(clip, checkpoint, run, monkeypatch):
    interrupt_encoding(monkeypatch, call=3)
    ask = (
        "ask",
        clip,
        "What?",
        "--ask-at",
        3,
        "And then?",
        "--model",
        checkpoint("qwen2_vl"),
        "--fps",
        10,
        "--block",
        2,
    )
    code, out, err = run(*ask, *SHORT, "--json")
    result = json.loads(out)
    assert code == 0 and err == "interrupted at 0.7 s: answering from what was watched; Ctrl-C again ends\n"
    assert result["video"]["interrupted"] is True and result["video"]["frames"] == 8
    assert [(a["question"], a["at_seconds"]) for a in result["answers"]] == [("And then?", 0.7), ("What?", 0.7)]


def test_ctrl_c_before_anything_was_watched_ends(clip, checkpoint, run, monkeypatch):
    interrupt_encoding(monkeypatch, call=1)
    assert run("ask", clip, "What?", "--model", checkpoint("qwen2_vl"), "--json") == (130, "", "interrupted\n")


def test_ctrl_c_while_answering_ends(clip, checkpoint, run, monkeypatch):
    monkeypatch.setattr(Session, "ask", lambda *_: signal.raise_signal(signal.SIGINT))
    assert run("ask", clip, "What?", "--model", checkpoint("qwen2_vl"), "--json") == (130, "", "interrupted\n")


def test_damage_is_said_and_counted(clip, checkpoint, run, tmp_path):
    from tests.videos import damage

    harmed = damage(Path(write_video(tmp_path / "harmed.mp4", frames=60, fps=10)), 0.5, 0.6)
    code, out, err = run("ask", harmed, "What?", "--model", checkpoint("qwen2_vl"), "--fps", 10, *SHORT, "--json")
    video = json.loads(out)["video"]
    assert code == 0 and video["damaged"] > 0
    assert err == f"note: {video['damage']}\n" and "harmed.mp4" in err


def test_our_own_warnings_are_one_line(clip, checkpoint, run):
    folder = checkpoint("qwen2_vl", max_position_embeddings=80)
    code, _, err = run(
        "ask", clip, "?", "--model", folder, "--fps", 10, "--room", 20, "--max-new-tokens", 1, "--positions", "original"
    )
    assert code == 0 and err.startswith("warning: 80 % of the model's 80 positions") and len(err.splitlines()) == 1


def test_warnings_of_libraries_are_not_shown(clip, checkpoint, run, monkeypatch):
    encode, library, heard = Session._encode, logging.getLogger("some_library"), []

    def warning(session, frames):
        warnings.warn_explicit("look out", DeprecationWarning, "some_library.py", 1)
        heard.append(library.isEnabledFor(logging.WARNING))
        return encode(session, frames)

    monkeypatch.setattr(Session, "_encode", warning)
    assert run("ask", clip, "What?", "--model", checkpoint("qwen2_vl"), *SHORT)[2] == ""
    assert set(heard) == {False} and library.isEnabledFor(logging.WARNING), "silent inside, and as before behind it"


SAID = (
    "1\n00:00:00,500 --> 00:00:01,500\nThe key is red\n\n2\n00:00:02,000 --> 00:00:03,000\n" + "so it goes " * 30 + "\n"
)


def test_subtitles_are_heard(clip, checkpoint, run, tmp_path):
    folder = checkpoint("qwen2_vl")
    said = tmp_path / "said.srt"
    said.write_text(SAID)
    silent, spoken = (
        run("ask", clip, "What is it?", "--model", folder, "--tokens-per-step", 16, "--json", *more)
        for more in ((), ("--subtitles", said))
    )
    assert (silent[0], spoken[0]) == (0, 0)
    before, after = (json.loads(out)["memory"] for _, out, _ in (silent, spoken))
    assert after["seen_tokens"] > before["seen_tokens"] and before["cut_tokens"] == 0 < after["cut_tokens"]
    assert f"note: {after['cut_tokens']} tokens of text were left out, beyond 64 a step (--text-tokens)" in spoken[2]
    code, out, err = run(
        "ask", clip, "What is it?", "--model", folder, "--tokens-per-step", 16, "--json", "--subtitles", said,
        "--text-tokens", 400,
    )  # fmt: skip
    assert (code, json.loads(out)["memory"]["cut_tokens"], err) == (0, 0, "")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--subtitles", "nowhere.srt"), "no such file: nowhere.srt"),
        (("--subtitles", "said.srt", "--text-tokens", 0), "--subtitles with --text-tokens 0"),
        (("--subtitles", "said.srt", "--then", "clip.mp4"), "single video"),
        (("--subtitles", "said.srt", "--text-tokens", -3), "text_tokens=-3"),
    ],
)
def test_subtitles_that_cannot_be_heard(clip, checkpoint, run, more, message):
    folder = checkpoint("qwen2_vl")
    Path("said.srt").write_text(SAID)
    shutil.copy(clip, "clip.mp4")
    code, out, err = run("ask", clip, "What is it?", "--model", folder, *more)
    assert (code, out) == (2, "") and message in err and len(err.strip().splitlines()) == 1
