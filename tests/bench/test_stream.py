"""Where the time of a step goes: every second belongs to one part."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from infinipot_v.bench import stream
from infinipot_v.bench.parts import PARTS, Stopwatch
from infinipot_v.bench.subject import Subject
from infinipot_v.bench.timing import Deadline, TimeUp
from infinipot_v.models.stand_in import stand_in
from tests.bench.conftest import SMALL


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


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision"])
def test_parts_add_up_and_a_slow_one_is_named(subject, pages, family):
    notebook, row, result = pages
    small = subject(family)
    outside = next(c for c in small.model.hf.base_model.children() if c is not small.model.hf.get_decoder())
    outside.register_forward_hook(lambda _m, _a, _output: time.sleep(0.05))
    stream.measure(small, notebook)
    assert row("vision").median > 50 / small.sizes.block, "the tower slept for 50 ms a block"
    assert max(row(part).median for part in PARTS if part not in ("vision", "compaction")) < row("vision").median
    watched = [row(name) for name in ("step", "compacting-step") if row(name).median is not None]
    assert sum(found.n for found in watched) == small.sizes.steps // small.sizes.block
    assert row("compacting-step/worst").median >= row("compacting-step/p99").median >= row("compacting-step").median
    assert 0 < result.ratios["s/m/compaction-of-everything"] < 1
    assert row("steps-per-second").median == pytest.approx(1000 / row("compacting-step").median, rel=0.9)


def test_slow_pixels_are_preprocessing(subject, pages):
    notebook, row, _ = pages
    small = subject()
    plain = small.model.pictures

    def slow(frames, canvas):
        time.sleep(0.05)
        return plain(frames, canvas)

    slowed = stand_in(small.model, pictures=slow)
    stream.measure(Subject(slowed, small.frame, small.sizes), notebook)
    assert row("preprocess").median > 50 / small.sizes.block > row("vision").median


def test_nothing_is_counted_before_the_memory_is_full(subject):
    small = subject(sizes=replace(SMALL, budget=25 * 16))
    outside = next(c for c in small.model.hf.base_model.children() if c is not small.model.hf.get_decoder())
    ran: list[int] = []
    outside.register_forward_hook(lambda _m, _a, _output: ran.append(1))
    watched = stream._watch(small)
    assert len(watched.parts) == 4 and watched.steps == 4
    assert len(ran) == 7 + 4, "the seventh block of four steps is the first that does not fit 25"
    assert sum(part["compaction"] > 0 for part in watched.parts) >= 2
    assert all(set(part) == set(PARTS) and sum(part.values()) > 0 for part in watched.parts)


def test_without_time_there_is_no_figure(subject, pages):
    small = subject()
    late = Subject(small.model, small.frame, small.sizes, Deadline.after(-1))
    with pytest.raises(TimeUp):
        stream.measure(late, pages[0])
