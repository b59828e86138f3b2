"""`infinipot-v watch`, `ask` of a saved memory, and `memory`: what one command leaves, the next goes on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from infinipot_v import Session, load_model
from infinipot_v.saving import describe
from infinipot_v.sources.ahead import Reader
from infinipot_v.sources.file import VideoFile
from infinipot_v.sources.stretch import Rest
from tests.interrupting import press_ctrl_c
from tests.saving.memories import differences
from tests.videos import write_video

SHORT = ("--max-new-tokens", 4)
SMALL = ("--tokens-per-step", 16, "--budget", 96, "--fps", 10)
FILE = "day.ivm.safetensors"


@pytest.fixture
def folder(checkpoint):
    return checkpoint("qwen2_vl")


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("other") / "other.mp4", frames=25, fps=10)


def interrupted_after(monkeypatch, frames: int) -> None:
    """Ctrl-C arrives when a source has given so many frames."""
    usual, given = Rest.__next__, []

    def next_frame(source):
        if len(given) == frames:
            monkeypatch.setattr(Rest, "__next__", usual)
            raise KeyboardInterrupt
        given.append(1)
        return usual(source)

    monkeypatch.setattr(Rest, "__next__", next_frame)


def same(folder, one, other) -> bool:
    model = load_model(folder, device="cpu")
    return not differences(Session.load(one, model), Session.load(other, model))


def test_watching_saves_what_asking_would_have_known(clip, folder, run):
    code, out, err = run("watch", clip, "--save", FILE, "--model", folder, *SMALL)
    assert (code, err) == (0, "") and out.startswith("watched to 3 s: 40 frames") and f"saved in {FILE}" in out
    code, out, err = run("ask", FILE, "What is it?", "And then?", *SHORT, "--json")
    assert (code, err) == (0, "")
    asked = json.loads(out)
    code, out, _ = run("ask", clip, "What is it?", "And then?", "--model", folder, *SMALL, *SHORT, "--json")
    direct = json.loads(out)
    assert [a["text"] for a in asked["answers"]] == [a["text"] for a in direct["answers"]]
    for figure in ("held_tokens", "seen_tokens", "compressions", "cap_bytes", "nbytes"):
        assert asked["memory"][figure] == direct["memory"][figure]
    assert asked["model"] == str(folder)
    before = describe(FILE)
    assert run("ask", FILE, "What is it?", *SHORT)[1].startswith("> What is it?\n")
    assert describe(FILE, check=True) == before, "a question leaves the file as it is"


def same_slots(folder, one, other) -> bool:
    """Other blocks round otherwise in the last bits; what is held is the same."""
    model = load_model(folder, device="cpu")
    found = differences(Session.load(one, model), Session.load(other, model))
    return not [name for name in found if name.endswith((".steps", ".cells"))]


@pytest.mark.parametrize("frames", [9, 16, 31])
def test_the_same_video_goes_on_where_it_was_interrupted(clip, folder, run, monkeypatch, frames):
    run("watch", clip, "--save", "whole.ivm.safetensors", "--model", folder, *SMALL)
    interrupted_after(monkeypatch, frames)
    code, out, err = run("watch", clip, "--save", FILE, "--model", folder, *SMALL)
    assert (code, err) == (0, "") and out.startswith("interrupted at ")
    assert frames - 8 <= describe(FILE).report.frames <= frames, "those that were being encoded together are not in it"
    code, out, err = run("watch", clip, "--resume", FILE, "--json")
    assert code == 0 and "going on at" in err and "watched again" not in err
    result = json.loads(out)
    assert result["video"]["frames"] == 40 and result["video"]["over"] and not result["video"]["interrupted"]
    assert result["saved"] == {"path": FILE, "bytes": os.path.getsize(FILE)}
    assert same(folder, FILE, "whole.ivm.safetensors")
    code, _, err = run("watch", clip, "--resume", FILE)
    assert code == 2 and "has been watched to its end" in err


def decoders(monkeypatch, at: int, act) -> list[str]:
    """The names of the threads that decode; `act` is called there before the frame of that number."""
    names, usual = [], VideoFile._give

    def giving(source):
        for number, frame in enumerate(usual(source)):
            names.append(threading.current_thread().name)
            if number == at:
                act()
            yield frame

    monkeypatch.setattr(VideoFile, "_give", giving)
    return names


@pytest.mark.usefixtures("one_ctrl_c")
@pytest.mark.parametrize("command", ["watch", "ask"])
def test_ctrl_c_while_a_frame_takes_for_ever(clip, folder, run, monkeypatch, command):
    """It is decoded in a thread, which has come further than what is watched; and that is over when the command is."""
    going_on = threading.Event()
    names = decoders(monkeypatch, 30, partial(press_ctrl_c, going_on))
    usual = Reader.close
    monkeypatch.setattr(Reader, "close", lambda reader: (going_on.set(), usual(reader))[1])
    arguments = ("--save", FILE) if command == "watch" else ("What is it?", *SHORT)
    code, out, err = run(command, clip, *arguments, "--model", folder, *SMALL, "--json")
    assert code == 0, err
    video = json.loads(out)["video"]
    assert video["interrupted"] and 0 < video["frames"] <= 30
    assert set(names) == {"ahead"} and len(names) == 31
    assert "ahead" not in [thread.name for thread in threading.enumerate()]
    if command == "watch":
        assert describe(FILE).report.frames == video["frames"]


def test_what_was_left_out_at_the_end_can_be_watched_later(clip, folder, run):
    run("watch", clip, "--save", "whole.ivm.safetensors", "--model", folder, *SMALL)
    run("watch", clip, "--save", FILE, "--model", folder, *SMALL, "--end", 1.5)
    assert run("watch", clip, "--resume", FILE, "--end", 1.2)[0] == 2
    code, _, err = run("watch", clip, "--resume", FILE, "--end", 2.5)
    assert code == 0 and "going on at" in err and describe(FILE).report.frames == 25
    assert run("watch", clip, "--resume", FILE)[0] == 0
    assert same_slots(folder, FILE, "whole.ivm.safetensors")
    assert run("watch", clip, "--resume", FILE, "--start", 1, "--end", 2, "--fps", 10)[0] == 0, (
        "a part once more, behind it"
    )
    assert describe(FILE).report.frames == 50


def test_a_picture_that_waits_is_kept_without_a_word(folder, run):
    from PIL import Image

    os.mkdir("pictures")
    for number in range(3):
        Image.new("RGB", (100, 80), (number * 40, 0, 0)).save(f"pictures/{number}.png")
    code, _, err = run("watch", "pictures", "--save", FILE, "--model", folder, "--end", 1, "--autosave-frames", 1)
    assert (code, err) == (0, "") and describe(FILE).report.waiting_frames == 1
    assert run("watch", "pictures", "--resume", FILE)[0] == 0 and describe(FILE).report.frames == 3


def test_another_video_comes_behind_the_first(clip, other, folder, run):
    run("watch", clip, "--save", FILE, "--model", folder, *SMALL)
    code, _, err = run("watch", other, "--resume", FILE, "--save", "two.ivm.safetensors", "--fps", 10)
    assert (code, err) == (0, "")
    assert describe("two.ivm.safetensors").report.frames == 65 and describe(FILE).report.frames == 40
    run("watch", clip, "--then", other, "--save", "chain.ivm.safetensors", "--model", folder, *SMALL)
    assert describe("chain.ivm.safetensors").last_seconds == pytest.approx(describe("two.ivm.safetensors").last_seconds)
    assert same(folder, "two.ivm.safetensors", "chain.ivm.safetensors")


def test_several_videos_go_on_in_the_middle(clip, other, folder, run, monkeypatch):
    both = (clip, "--then", other)
    run("watch", *both, "--save", "whole.ivm.safetensors", "--model", folder, *SMALL)
    interrupted_after(monkeypatch, 47)
    run("watch", *both, "--save", FILE, "--model", folder, *SMALL)
    assert run("watch", *both, "--resume", FILE)[0] == 0
    assert same(folder, FILE, "whole.ivm.safetensors")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory):
    """Long enough to be killed in."""
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", frames=600, fps=10)


def killed(command: list, number: int, until) -> str:
    """Start a command, send it a signal once `until()` holds, and return its standard output."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "infinipot_v", *map(str, command)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        for _ in range(1200):
            if until() or child.poll() is not None:
                break
            time.sleep(0.02)
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
    return out


def test_after_kill_9_it_goes_on_from_the_last_autosave(long_clip, folder, run):
    small = ("--tokens-per-step", 16, "--budget", 96, "--fps", 10)
    run("watch", long_clip, "--save", "whole.ivm.safetensors", "--model", folder, *small)
    autosave = ("--autosave-frames", 8, "--autosave-keep", 3)
    command = ["watch", long_clip, "--save", FILE, "--model", folder, *small, *autosave]
    killed(command, signal.SIGKILL, lambda: os.path.exists("day.2.ivm.safetensors"))
    watched = [describe(name, check=True).report.frames for name in (FILE, "day.1.ivm.safetensors")]
    assert 0 < watched[1] < watched[0] < 600, "it was killed in the middle, and an older save is there"
    assert watched[0] - watched[1] <= 16
    code, _, err = run("watch", long_clip, "--resume", FILE)
    assert code == 0 and "going on at" in err and "(at most 60 s or 8 frames) is watched again" in err
    assert same(folder, FILE, "whole.ivm.safetensors")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_last_save_waits_until_the_file_is_whole(clip, folder, run, monkeypatch, number):
    usual = Session.save

    def save(session, path, **more):
        signal.raise_signal(number)
        return usual(session, path, **more)

    monkeypatch.setattr(Session, "save", save)
    code, out, _ = run("watch", clip, "--save", FILE, "--model", folder, *SMALL, "--autosave", 0)
    assert code == 0 and f"saved in {FILE}" in out and describe(FILE, check=True).report.frames == 40


def test_older_saves_lie_beside_the_file_that_a_link_names(clip, folder, run):
    os.mkdir("real")
    os.symlink(f"real/{FILE}", "link.ivm.safetensors")
    line = ("--model", folder, *SMALL, "--autosave-frames", 8, "--autosave-keep", 3)
    assert run("watch", clip, "--save", "link.ivm.safetensors", *line)[0] == 0
    assert sorted(os.listdir("real")) == ["day.1.ivm.safetensors", "day.2.ivm.safetensors", FILE]
    watched = [describe(f"real/{name}").report.frames for name in (FILE, "day.1.ivm.safetensors")]
    assert watched[0] == 40 and os.path.islink("link.ivm.safetensors")


@pytest.mark.parametrize("watched", ["monday", 3, {"paths": 3}, {"paths": [], "sizes": [], "span": {}}])
def test_extra_of_somebody_else_is_left_alone(clip, folder, run, watched):
    run("watch", clip, "--save", FILE, "--model", folder, *SMALL)
    session = Session.load(FILE, load_model(folder, device="cpu"))
    session.save(FILE, extra={"watched": watched, "mine": 1})
    assert run("memory", "info", FILE)[0] == 0
    assert run("watch", clip, "--resume", FILE, "--fps", 10)[0] == 0
    assert describe(FILE).extra["mine"] == 1 and describe(FILE).report.frames == 80


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_signal_saves_first(long_clip, folder, run, number):
    command = ["watch", long_clip, "--save", FILE, "--model", folder, "--fps", 10, "--tokens-per-step", 16,
               "--budget", 96, "--autosave-frames", 8]  # fmt: skip
    out = killed(command, number, lambda: os.path.exists(FILE))
    assert out.startswith("interrupted at ") and f"saved in {FILE}" in out
    assert 0 < describe(FILE, check=True).report.frames < 600


def test_a_failing_autosave_is_a_warning(clip, folder, run, monkeypatch):
    from infinipot_v.saving import SaveError

    usual, calls = Session.save, []

    def save(session, path, **more):
        calls.append(1)
        if len(calls) == 2:
            raise SaveError("cannot save it: No space left; free some space")
        return usual(session, path, **more)

    monkeypatch.setattr(Session, "save", save)
    code, _, err = run("watch", clip, "--save", FILE, "--model", folder, *SMALL, "--autosave-frames", 8)
    assert code == 0 and len(calls) > 3
    assert err.startswith("warning: the memory was not saved at ") and "free some space" in err
    assert describe(FILE, check=True).report.frames == 40


def test_a_memory_is_described_and_trimmed_without_its_video(clip, folder, run):
    run("watch", clip, "--save", FILE, "--model", folder, *SMALL)
    code, out, err = run("memory", "info", FILE, "--check")
    assert (code, err) == (0, "") and "every checksum is right" in out
    assert str(folder) in out and "40 frames" in out and "keys" in out
    info = json.loads(run("memory", "info", FILE, "--json")[1])
    assert info["report"]["frames"] == 40 and info["bytes"] == os.path.getsize(FILE)
    code, out, err = run("memory", "trim", FILE, "--budget", 48, "--save", "small.ivm.safetensors", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["memory"]["held_tokens"] <= 48 == told["memory"]["budget_tokens"]
    assert os.path.getsize("small.ivm.safetensors") == told["saved"]["bytes"] < os.path.getsize(FILE)
    assert run("ask", "small.ivm.safetensors", "What is it?", *SHORT)[0] == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("watch CLIP --model FOLDER", "--save day.ivm.safetensors"),
        ("watch CLIP --save saved.ivm.safetensors --model FOLDER", "is there already: go on with it (--resume)"),
        ("watch CLIP --save no/where.ivm.safetensors --model FOLDER", "there is no folder"),
        ("watch CLIP --save new.ivm.safetensors", "no model was named"),
        ("watch CLIP --resume nothing.ivm.safetensors", "there is no such file"),
        ("watch CLIP --resume saved.ivm.safetensors --budget 64", "leave out --budget"),
        ("watch CLIP --resume saved.ivm.safetensors --system Hm", "leave out --system"),
        ("watch CLIP --resume saved.ivm.safetensors --tokens-per-step 9", "leave out --tokens-per-step"),
        ("watch LATER --resume saved.ivm.safetensors --model OTHER", "of another model"),
        ("watch CLIP --resume CLIP", "no memory of ours"),
        ("watch CLIP --save new.ivm.safetensors --model FOLDER --autosave-keep 0", "--autosave-keep at least 1"),
        ("watch nothing.mp4 --save new.ivm.safetensors --model FOLDER", "no such file"),
        ("watch nothing.mp4 --resume saved.ivm.safetensors", "no such file"),
        ("ask saved.ivm.safetensors What? --fps 2", "leave out --fps"),
        ("ask saved.ivm.safetensors What? --ask-at=2_So?", "leave out --ask-at"),
        ("ask saved.ivm.safetensors What? --policy uniform", "leave out --policy"),
        ("ask saved.ivm.safetensors", "no question was given"),
        ("ask nothing.ivm.safetensors What?", "there is no such file"),
        ("ask saved.ivm.safetensors What? --model OTHER", "of another model"),
        ("memory info nothing.ivm.safetensors", "there is no such file"),
        ("memory info CLIP", "no memory of ours"),
        ("memory trim saved.ivm.safetensors --budget 48 --save CLIP", "is there already"),
        (f"watch CLIP --save {'x' * 250} --model FOLDER", "File name too long"),
        ("memory trim saved.ivm.safetensors", "--budget 2048 --save smaller"),
        ("memory trim saved.ivm.safetensors --budget 4096 --save new.ivm.safetensors", "does not trim a memory of 96"),
    ],
)
def test_bad_input_is_one_line(clip, other, checkpoint, folder, run, line, words):
    run("watch", clip, "--save", "saved.ivm.safetensors", "--model", folder, *SMALL)
    before = sorted(os.listdir())
    places = {"CLIP": clip, "FOLDER": folder, "OTHER": checkpoint("qwen2_5_vl"), "LATER": other}
    words_of_line = [word.replace("_", " ") if "ask-at" in word else places.get(word, word) for word in line.split()]
    code, out, err = run(*words_of_line)
    assert code == 2 and out == "" and words in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_a_talk_gone_on_with_is_as_if_never_stopped(clip, folder, run, monkeypatch):
    Path("said.srt").write_text("\n".join(f"{i}\n00:00:0{i},200 --> 00:00:0{i},900\nit is {i} now\n" for i in range(4)))
    arguments = ("--subtitles", "said.srt", "--model", folder, *SMALL, "--text-tokens", 30)
    assert run("watch", clip, "--save", "whole.ivm.safetensors", *arguments)[0] == 0
    for frames in (9, 16, 33):
        interrupted_after(monkeypatch, frames)
        file = f"part-{frames}.ivm.safetensors"
        assert run("watch", clip, "--save", file, *arguments)[0] == 0
        code, _, err = run("watch", clip, "--resume", file)
        assert code == 0 and "going on at" in err
        assert same(folder, file, "whole.ivm.safetensors")
    assert run("watch", clip, "--save", "silent.ivm.safetensors", "--model", folder, *SMALL)[0] == 0
    whole, silent = (describe(f"{name}.ivm.safetensors").report for name in ("whole", "silent"))
    assert whole.steps == silent.steps and whole.seen_tokens > silent.seen_tokens


def test_subtitles_cannot_join_later(clip, folder, other, run):
    Path("said.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nit is now\n")
    assert run("watch", clip, "--save", FILE, "--model", folder, *SMALL, "--end", 2)[0] == 0
    code, _, err = run("watch", clip, "--resume", FILE, "--subtitles", "said.srt")
    assert code == 2 and "goes on as it was watched: leave out --subtitles" in err
    code, _, err = run("watch", other, "--resume", FILE, "--subtitles", "said.srt")
    assert code == 2 and "this memory takes no text" in err
    code, _, err = run("watch", other, "--resume", FILE, "--text-tokens", 9)
    assert code == 2 and "leave out --text-tokens" in err


def test_subtitles_that_have_moved_are_asked_for(clip, folder, run):
    Path("said.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nit is now\n\n2\n00:00:03,000 --> 00:00:03,500\nand now\n"
    )
    arguments = ("--subtitles", "said.srt", "--model", folder, *SMALL, "--text-tokens", 30)
    assert run("watch", clip, "--save", "whole.ivm.safetensors", *arguments)[0] == 0
    assert run("watch", clip, "--save", FILE, *arguments, "--end", 2)[0] == 0
    Path("said.srt").rename("moved.srt")
    code, _, err = run("watch", clip, "--resume", FILE, "--end", 4)
    assert code == 2 and "no such file" in err and "said.srt" in err
    assert run("watch", clip, "--resume", FILE, "--end", 4, "--subtitles", "moved.srt")[0] == 0
    assert describe(FILE).report.seen_tokens == describe("whole.ivm.safetensors").report.seen_tokens
