"""Which frames are due, and where frames belong whose timestamps cannot be."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinipot_v.sources.times import MOST_SECONDS, TOLERANCE, Rhythm, Ticks, Timeline
from tests.oracle.sampling import sampled

INTERVALS = st.lists(st.integers(1, 4000), min_size=1, max_size=60)
"""Milliseconds. With a part of one on top, another for the first, no frame lies on the edge of a tick's tolerance:
neither where ticks begin at a whole millisecond, nor where they begin at the first frame."""


@given(INTERVALS, st.sampled_from([0.5, 1.0, 2.0, 10.0, 25.0, 1000.0]), st.none() | st.integers(0, 5000))
def test_ticks_equal_the_walk_from_tick_to_tick(intervals: list[int], fps: float, start: int | None) -> None:
    begin = None if start is None else start / 1000
    first, *others = accumulate(intervals)
    times = [(first + 0.3) / 1000, *((milliseconds + 0.5) / 1000 for milliseconds in others)]
    ticks = Ticks(fps, begin)
    given_out = [time for time in times if ticks.due(time)]
    assert given_out == sampled(times, fps, begin, min(TOLERANCE, 0.1 / fps))


@given(INTERVALS, st.floats(0, 1e5))
def test_sound_timestamps_are_kept(intervals: list[int], zero: float) -> None:
    times = [0.0, *(milliseconds / 1000 for milliseconds in accumulate(intervals))]
    timeline = Timeline(zero, 0.04, times[-1])
    assert [timeline.place(zero + time) for time in times] == pytest.approx(times, abs=1e-9)
    assert timeline.misplaced == 0


STAMPS = st.none() | st.floats(-1e12, 1e12) | st.integers(0, 100).map(lambda index: index / 25)


@given(st.lists(STAMPS, min_size=1, max_size=80), st.none() | st.floats(0, 10), st.none() | st.floats(0.1, 1e4))
def test_whatever_timestamps_say_times_ascend_from_0(
    stamps: list[float | None], zero: float | None, duration: float | None
) -> None:
    timeline = Timeline(zero, 0.04, duration)
    places = [place for place in map(timeline.place, stamps) if place is not None]
    assert places and places[0] >= 0
    assert all(earlier < later for earlier, later in pairwise(places))
    assert places[-1] <= MOST_SECONDS + len(stamps)
    assert timeline.misplaced >= len(stamps) - len(places)


def test_missing_timestamps_are_counted_on_and_no_damage() -> None:
    timeline = Timeline(None, 0.5, None)
    assert [timeline.place(stamp) for stamp in (None, None, 1.0, None, 2.0)] == [0, 0.5, 1.0, 1.5, 2.0]
    assert timeline.misplaced == 0


def test_one_stamp_far_ahead_does_not_move_the_rest() -> None:
    timeline = Timeline(0.0, 0.1, 10.0)
    places = [timeline.place(stamp) for stamp in (0.0, 0.1, 90000.0, 0.3, 0.4)]
    assert places == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert timeline.misplaced == 1


def test_a_long_gap_inside_the_video_is_believed() -> None:
    timeline = Timeline(0.0, 0.1, 700.0)
    assert [timeline.place(stamp) for stamp in (0.0, 0.1, 600.0)] == [0, 0.1, 600]


def test_a_frame_a_moment_back_is_left_out() -> None:
    timeline = Timeline(0.0, 0.1, None)
    assert [timeline.place(stamp) for stamp in (0.0, 0.1, 0.05, 0.2)] == [0, 0.1, None, 0.2]
    assert timeline.misplaced == 1


def test_a_clock_set_anew_goes_on_and_keeps_its_intervals() -> None:
    timeline = Timeline(0.0, 0.1, None)
    places = [timeline.place(stamp) for stamp in (50.0, 50.1, 0.0, 0.3, 0.4)]
    assert places == pytest.approx([50, 50.1, 50.2, 50.5, 50.6])


def test_a_clock_that_stands_still_is_not_waited_for() -> None:
    timeline = Timeline(0.0, 0.1, None)
    places = [place for place in (timeline.place(3.0) for _ in range(100)) if place is not None]
    assert len(places) >= 8
    assert places[-1] == pytest.approx(3.0 + 99 * 0.1, abs=1.2)


@pytest.mark.parametrize(
    ("times", "constant", "missing"),
    [
        ([index / 10 for index in range(40)], True, 0),
        ([index / 10 for index in range(40) if not 20 <= index < 28], True, 8),
        ([index / 10 for index in range(40) if index % 7], False, 0),
        ([index**2 / 10 for index in range(40)], False, 0),
        ([index / 10 for index in range(5)], False, 0),
        ([], False, 0),
    ],
)
def test_holes_are_seen_in_a_constant_rate_only(times: list[float], constant: bool, missing: int) -> None:
    rhythm = Rhythm(0.1)
    for time in times:
        rhythm.beat(time)
    assert (rhythm.constant, rhythm.missing) == (constant, missing)
