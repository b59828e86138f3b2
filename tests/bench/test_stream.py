"""Where the time of a step goes: every second belongs to one part."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from infinipot_v.bench import overlap, stream
from infinipot_v.bench.footage import Footage
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.parts import PARTS, Stopwatch
from infinipot_v.bench.rows import Result
from infinipot_v.bench.subject import Subject
from infinipot_v.bench.timing import Deadline, TimeUp
from infinipot_v.models.stand_in import stand_in
from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.sources.file import VideoFile
from tests.bench.conftest import SMALL
from tests.videos import write_video


def test_a_part_inside_another_interrupts_it():
    moment = [0.0]
    watch = Stopwatch(lambda: moment[0])
    with watch.part("rest"):
        moment[0] = 1.0
        with watch.part("preprocess"):
            moment[0] = 3.0
            watch.switch("vision")
            moment[0] = 7.0
        moment[0] = 15.0
        with pytest.raises(ValueError, match="odd"), watch.part("compaction"):
            moment[0] = 31.0
            raise ValueError("odd")
        moment[0] = 63.0
    moment[0] = 127.0
    assert watch.take() == {"rest": 1.0 + 8.0 + 32.0, "preprocess": 2.0, "vision": 4.0, "compaction": 16.0}
    assert watch.take() == {}


@pytest.fixture
def minutes(monkeypatch) -> list[float]:
    """A clock that stands still unless a test moves it, in seconds."""
    moment = [0.0]
    monkeypatch.setattr(stream, "now", lambda device: moment[0])
    return moment


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision"])
def test_parts_add_up_and_a_slow_one_is_named(subject, pages, family, minutes):
    notebook, row, result = pages
    small = subject(family)
    decoder = small.model.hf.get_decoder()
    outside = next(c for c in small.model.hf.base_model.children() if c is not decoder)
    hooks = [outside.register_forward_hook(later(minutes, 0.08)), decoder.register_forward_hook(later(minutes, 0.04))]
    stream.measure(small, notebook)
    for hook in hooks:
        hook.remove()
    assert row("vision").median == pytest.approx(80 / small.sizes.block)
    assert row("prefill").median >= 40 / small.sizes.block, "more where a block was split by a compaction"
    assert row("preprocess").median == row("rest").median == 0
    watched = [row(name) for name in ("step", "compacting-step") if row(name).median is not None]
    assert sum(found.n for found in watched) == row("all").n >= small.sizes.steps // small.sizes.block
    assert len(result.series["s/m/prefill"]) == row("all").n
    shares = [value for name, value in result.ratios.items() if name.endswith("-of-everything")]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert row("all/worst").median >= row("all/p99").median >= row("all").median
    steps = row("all").n * small.sizes.block
    whole = sum(sum(values) for values in result.series.values()) * small.sizes.block
    assert row("steps-per-second").median == pytest.approx(1000 * steps / whole, rel=1e-3)


def later(minutes, seconds):
    def pass_time(*_arguments):
        minutes[0] += seconds

    return pass_time


def test_slow_pixels_are_preprocessing_and_slow_policies_compaction(subject, pages, minutes, monkeypatch):
    notebook, row, result = pages
    small = subject()
    plain, select = small.model.pictures, InfiniPotV.select

    def slow(frames, canvas):
        minutes[0] += 0.05
        return plain(frames, canvas)

    def slow_select(self, view, keep):
        minutes[0] += 0.01
        return select(self, view, keep)

    monkeypatch.setattr(InfiniPotV, "select", slow_select)
    slowed = stand_in(small.model, pictures=slow)
    stream.measure(Subject(slowed, small.frame, small.sizes), notebook)
    assert row("preprocess").median == pytest.approx(50 / small.sizes.block)
    layers = small.model.text_config.num_hidden_layers
    assert row("compaction").median % (10 * layers) == pytest.approx(0, abs=1e-6) and row("compaction").median > 0
    assert row("vision").median == row("prefill").median == 0 < result.ratios["s/m/compaction-of-everything"] < 1


def test_whole_periods_of_a_full_memory_are_counted(subject):
    small = subject(sizes=replace(SMALL, budgets=(25 * 16,), block=1, steps=8))
    outside = next(c for c in small.model.hf.base_model.children() if c is not small.model.hf.get_decoder())
    ran: list[int] = []
    outside.register_forward_hook(lambda _m, _a, _output: ran.append(1))
    watched = stream._watch(small)
    # 300 of 400 tokens stay, so a compaction serves 6 steps of 16: from 8 steps on, a period ends at the 12th
    assert len(watched.parts) == 12 and watched.steps == 1
    assert sum(part["compaction"] > 0 for part in watched.parts) == 2
    assert len(ran) == 1 + stream.WARM_UP + 12, "the memory was filled without the tower, but for its first step"
    assert all(set(part) == set(PARTS) and sum(part.values()) > 0 for part in watched.parts)


def test_live(subject, pages, tmp_path):
    notebook, row, result = pages
    footage = Footage.of(write_video(tmp_path / "clip.mp4", frames=40, fps=10), 2.0)
    assert footage.about == {"file": "clip.mp4", "fps": 2.0, "frame": list(footage.size), "seconds": 4.0}
    seconds = [frame.seconds for frame, _ in zip(footage.frames(), range(20), strict=False)]
    assert seconds == pytest.approx([0.5 * number for number in range(20)], abs=0.06), "over and over, times going on"
    small = subject()
    stream.measure(Subject(small.model, footage.size, small.sizes, footage=footage), notebook)
    assert row("decode").median > 0
    rate = row("steps-per-second").median * small.model.frames_per_step
    assert row("times-real-time").median == pytest.approx(rate / 2.0, rel=1e-3)
    assert row("sustainable-fps").median > 0 and "bound by " in row("sustainable-fps").note
    for way, ahead in overlap.WAYS.items():
        assert row(way).n == SMALL.repeats and row(way).note == f"8 frames at 2 fps a turn, {ahead} decoded ahead"
    rates = [row(way).median for way in ("decoded-ahead", "decoded-when-asked")]
    assert result.ratios["s/m/decoded-ahead over decoded-when-asked"] == pytest.approx(rates[0] / rates[1], rel=1e-3)


def test_both_ways_watch_the_same_and_only_one_has_a_thread(subject, tmp_path, monkeypatch, minutes):
    """A clock that stands still but while a frame is decoded: there it goes on by half a second of four."""
    footage = Footage.of(write_video(tmp_path / "clip.mp4", frames=40, fps=10), 2.0)
    small = subject()
    small = Subject(small.model, footage.size, replace(SMALL, steps=3), footage=footage)
    monkeypatch.setattr(overlap, "now", lambda device: minutes[0])
    decoders, usual = set(), VideoFile._give

    def giving(source):
        decoders.add(threading.current_thread().name)
        for frame in usual(source):
            minutes[0] += 0.5
            yield frame

    monkeypatch.setattr(VideoFile, "_give", giving)
    for ahead, name in ((0, "MainThread"), (8, "ahead")):
        session = stream.full_session(small)
        before = session.report()
        turn = overlap.Turn(small, session, ahead)
        assert [turn(), turn()] == [1.0, 1.0] and decoders == {name}
        report = session.report()
        assert turn.frames == 6 and report.frames - before.frames == 12 and report.steps - before.steps == 6
        decoders.clear()


def test_the_model_itself_watches_a_turn(subject, tmp_path):
    """Its vision tower and its language model run, where filling the memory ran neither."""
    footage = Footage.of(write_video(tmp_path / "clip.mp4", frames=40, fps=10), 2.0)
    small = subject()
    small = Subject(small.model, footage.size, replace(SMALL, steps=3), footage=footage)
    turn = overlap.Turn(small, stream.full_session(small), 0)
    ran = {"vision": 0, "language": 0}

    def counts(name):
        def hook(*_):
            ran[name] += 1

        return hook

    hooks = [
        small.model.hf.model.visual.register_forward_pre_hook(counts("vision")),
        small.model.hf.get_decoder().register_forward_pre_hook(counts("language")),
    ]
    turn()
    for hook in hooks:
        hook.remove()
    assert turn.frames == 6 and min(ran.values()) >= 1


def test_the_rate_that_keeps_up():
    spent = {"decode": 100.0, "preprocess": 50.0, "vision": 50.0, "prefill": 150.0, "compaction": 50.0, "rest": 0.0}
    watched = stream.Watched(1, [spent, spent])
    result = Result({})
    footage = Footage(Path("a.mp4"), 2.0, (8, 8), 9.0)
    live = Subject(SimpleNamespace(frames_per_step=2), (8, 8), SMALL, footage=footage)
    stream._write_live(live, Notebook(result, "s/m"), watched)
    times, rate = result.rows
    assert times.median == pytest.approx(2.0 / 0.8), "four frames are two seconds"
    # 0.2 s of decoding are two seconds of video: 0.9 is left of every second for frames of 0.15 s
    assert rate.median == pytest.approx(0.9 / 0.15) and rate.note == "bound by prefill, 38% of the time"


def test_without_time_there_is_no_figure(subject, pages):
    small = subject()
    late = Subject(small.model, small.frame, small.sizes, Deadline.after(-1))
    with pytest.raises(TimeUp):
        stream.measure(late, pages[0])
