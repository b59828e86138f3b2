"""Frames made ahead are the frames made when asked for; and whatever comes between, nothing stays open."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import ref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from infinipot_v import interrupts
from infinipot_v.sources import Source, ahead, open_source
from infinipot_v.sources.ahead import Ahead
from infinipot_v.sources.chain import Chain
from infinipot_v.sources.source import OneFile, Span
from infinipot_v.sources.stretch import Rest, Stretch
from infinipot_v.types import Frame, UserError
from tests import videos
from tests.interrupting import press_ctrl_c

LONG = 100
"""Seconds that nothing here takes: what waits so long has failed."""


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def all_over() -> None:
    """Wait until every reader that is on its way out has ended.

    Not by `join`, which takes one for ended whose `join` was interrupted (Python before 3.13).
    """
    until = time.monotonic() + LONG
    while readers() and time.monotonic() < until:
        time.sleep(0.0005)
    assert readers() == []


def open_files() -> list[str]:
    """What this process has open of the tests' files."""
    folder = Path("/proc/self/fd")
    links = []
    for number in os.listdir(folder) if folder.exists() else ():
        with suppress(OSError):
            links.append(os.readlink(folder / number))
    return sorted(link for link in links if "pytest" in link)


@pytest.fixture(autouse=True, scope="module")
def _what_is_old_is_not_looked_at() -> Iterator[None]:
    """Python looks for cycles among what these tests make, and not in all of torch."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    gc.collect()
    files = open_files()
    yield
    gc.collect()
    all_over()
    assert open_files() == files


class Counting(OneFile):
    """A source whose every move is seen. Counts `harm` frames as lost and calls `before(number)` before each frame."""

    duration, expected_frames = 9.0, 4

    def __init__(
        self, frames: int, before: Callable[[int], object] = id, end: BaseException | None = None, harm: int = 0
    ) -> None:
        self.frames, self.before, self.end, self.harm = frames, before, end, harm
        self.made, self.closed, self.closer = 0, 0, 0
        self.pixels: list[ref[np.ndarray]] = []
        super().__init__(Path("counting"), Span())

    def _give(self) -> Generator[Frame, None, None]:
        for number in range(1, self.frames + 1):
            self._harm.lost += self.harm
            self.before(number)
            self.ends, self.made = number + 0.5, number
            yield self._frame(number)
        self._harm.missing = 2 * self.harm
        if self.end is not None:
            raise self.end

    def _frame(self, number: int) -> Frame:
        pixels = np.full((2, 2, 3), number % 256, np.uint8)
        self.pixels.append(ref(pixels))
        return Frame(pixels, float(number))

    @property
    def alive(self) -> int:
        """How many of its frames somebody holds."""
        return sum(pixels() is not None for pixels in self.pixels)

    def close(self) -> None:
        super().close()
        self.closed, self.closer = self.closed + 1, threading.get_ident()


# Nothing else changes -------------------------------------------------------------------------------------------------


def said(source: Any) -> tuple[Any, ...]:
    return source.duration, source.expected_frames, source.damaged, source.damage, source.ends


def told(source: Any, most: int, let_it_run: Callable[[int], object] = id) -> list[Any]:
    """All that a reader can see: before, at each of at most `most` frames, at the end and how it came, when closed."""
    with source:
        lines: list[Any] = [said(source)]
        try:
            for frame in islice(source, most):
                let_it_run(len(lines))
                lines.append((frame.seconds, frame.pixels.tobytes(), *said(source)))
        except (UserError, ArithmeticError) as error:
            lines += [repr(error), *list(source)]
        lines.append(said(source))
    return [*lines, said(source), *list(source)]


ENDS = st.sampled_from([None, UserError("torn"), ZeroDivisionError("odd")])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 12), st.integers(0, 14), st.integers(1, 5), ENDS, st.integers(0, 2))
def test_a_reader_sees_no_difference(frames: int, wanted: int, most: int, end: BaseException | None, harm: int) -> None:
    """Though the thread has always come as far as it may before anybody looks."""
    came = threading.Semaphore(0)
    counting = Counting(frames, lambda _number: came.release(), end, harm)

    def let_it_run(given: int) -> None:
        while counting.made < min(frames, given + most):
            assert came.acquire(timeout=LONG)

    expected = told(Counting(frames, end=end, harm=harm), wanted)
    assert told(Ahead(counting, most), wanted, let_it_run) == expected
    assert counting.closed == 1 and readers() == []


def _hollow(path: Path) -> Path:
    content = videos.write_video(path).read_bytes()
    begin = content.index(b"mdat") + 4
    path.write_bytes(content[:begin] + bytes(len(content) - begin))
    return path


def _cut(path: Path, share: float = 0.7) -> Path:
    videos.write_video(path, 60, bframes=1)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    for index in range(3):
        Image.fromarray(videos.picture(index)).save(path / f"{index}.png")
    (path / "1.png").write_bytes(b"no picture")
    return path


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("clips")
    sound = videos.write_video(folder / "sound.mp4", 40, bframes=2, sound=True)
    noisy = videos.damage(Path(shutil.copy(videos.write_video(folder / "n.mp4", 60), folder / "noisy.mp4")), 0.3, 0.7)
    cut, hollow, images = _cut(folder / "cut.mkv"), _hollow(folder / "hollow.mp4"), _folder(folder / "images")
    phone = videos.rotate(videos.write_video(folder / "phone.mp4", 20, size=(48, 80)))
    chain = [sound, cut, images, hollow, noisy, phone]
    return {"sound": sound, "noisy": noisy, "cut": cut, "hollow": hollow, "images": images, "chain": chain}


SPANS: list[dict[str, Any]] = [{"fps": 1000}, {"fps": 2}, {"fps": 10, "start": 1.55, "end": 3.1}, {"start": 2.9}]


@pytest.mark.parametrize("name", ["sound", "noisy", "cut", "hollow", "images", "chain"])
@pytest.mark.parametrize("span", SPANS, ids=str)
@pytest.mark.parametrize("most", [1, 8])
def test_real_files_neither(footage: dict[str, Any], name: str, span: dict[str, Any], most: int) -> None:
    def story(**options: Any) -> list[Any]:
        try:
            source = open_source(footage[name], **span, **options)
        except UserError as error:  # such a start
            return [str(error)]
        return told(source, 1000)

    assert story(ahead=most) == story()


def test_frames_that_wait_are_not_watched(footage: dict[str, Any]) -> None:
    """What `watch --resume` goes on from: a stretch has come as far as its frames were taken."""
    paths = [footage["sound"], footage["noisy"]]
    for taken in (0, 1, 7, 39, 41, 200):
        marks = []
        for most in (0, 3):
            with Rest(Stretch.of(paths, Span(10)), ahead=most) as rest:
                seconds = [frame.seconds for frame in islice(rest, taken)]
                marks.append((rest.stretch.reached(seconds[-1] if seconds else 0.0, rest.over), rest.damage, seconds))
        assert marks[0] == marks[1]


def test_who_stops_can_go_on(footage: dict[str, Any]) -> None:
    with open_source(footage["sound"], fps=10, ahead=3) as source:
        times = [frame.seconds for _ in range(9) for frame in islice(source, 4)] + [f.seconds for f in source]
    assert times == pytest.approx([index / 10 for index in range(40)])


# How far ahead --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 5])
def test_it_is_as_far_ahead_as_it_may_be_and_never_further(most: int) -> None:
    asked, far, held = [0], [0], [0]
    came = threading.Semaphore(0)

    def note(number: int) -> None:
        """In the thread, before each frame: how far that is from what was asked for, and what is held."""
        far[0], held[0] = max(far[0], number - asked[0]), max(held[0], counting.alive)
        came.release()

    counting = Counting(40, note)
    with Ahead(counting, most) as source:
        assert (readers(), counting.made) == ([], 0), "nothing is read before a frame is asked for"
        for taken in range(1, 41):
            asked[0] += 1
            next(source)
            while counting.made < min(40, taken + most):
                assert came.acquire(timeout=LONG) or counting.made == taken + most
        assert list(source) == []
    assert far[0] == most, "counted from the frame that the caller has in his hands"
    assert held[0] <= most + 2, "those that wait, the caller's, and the thread's last"


def test_frames_that_wait_are_freed_when_it_is_closed() -> None:
    counting = Counting(40)
    source = Ahead(counting, 8)
    next(source)
    source.close()
    assert counting.alive == 0


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("torn"), UserError("none"), MemoryError(), KeyboardInterrupt()])
def test_an_error_comes_behind_the_frames_before_it_with_its_own_traceback(error: BaseException) -> None:
    taken = []
    counting = Counting(5, end=error)
    with Ahead(counting, 8) as source:
        with pytest.raises(type(error)) as caught:
            for frame in source:
                taken.append(frame.seconds)
        assert caught.value is error
        assert "_give" in [entry.name for entry in traceback.extract_tb(error.__traceback__)]
        assert counting.closed == 1, "before the caller hears of it"
        assert list(source) == []
    assert taken == [1, 2, 3, 4, 5]


def test_an_error_that_was_handled_holds_nothing() -> None:
    gc.disable()
    try:
        source = Ahead(Counting(1, lambda number: 1 // 0), 8)
        here = ref(source)
        with suppress(ZeroDivisionError):
            list(source)
        del source
        assert here() is None
    finally:
        gc.enable()


def test_a_thread_that_cannot_begin_is_an_error_and_the_source_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", refuse, raising=False)
    monkeypatch.setattr(threading, "_start_joinable_thread", refuse, raising=False)
    counting = Counting(5)
    with pytest.raises(RuntimeError, match="can't start"), Ahead(counting, 8) as source:
        next(source)
    assert counting.closed == 1


# Closing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 5, 39, 40, 41])
@pytest.mark.parametrize("most", [1, 8, 100])
def test_closed_in_any_state_it_is_closed_once_by_who_read_it(taken: int, most: int) -> None:
    counting = Counting(40)
    source = Ahead(counting, most)
    list(islice(source, taken))
    source.close()
    assert (counting.closed, readers()) == (1, [])
    assert (counting.closer == threading.get_ident()) == (taken == 0), "never read, it has no thread"
    if taken:
        source.close()
        assert counting.closed == 1
    assert list(source) == []


def test_closing_waits_for_the_frame_that_is_being_made() -> None:
    begun, going_on = threading.Event(), threading.Event()

    def wait(number: int) -> None:
        if number == 2:
            begun.set()
            going_on.wait(LONG)

    counting = Counting(40, wait)
    source = Ahead(counting, 8)
    next(source)
    assert begun.wait(LONG)
    closer = threading.Thread(target=source.close)
    closer.start()
    while source._token is not None:  # from here on nothing is wanted, and the thread hears of it behind the frame
        pass
    assert counting.closed == 0
    going_on.set()
    closer.join(LONG)
    assert (counting.made, counting.closed, readers()) == (2, 1, [])


# Forgotten ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 20, 40, 41])
def test_forgotten_it_ends_at_once(taken: int) -> None:
    gc.disable()
    try:
        counting = Counting(40)
        source = Ahead(counting, 3)
        list(islice(source, taken))
        del source
        all_over()
        assert counting.closed == (1 if taken else 0), "what nobody has read lives as long as whoever opened it"
        assert counting.made <= taken + 3
    finally:
        gc.enable()


def test_forgotten_in_a_ring_it_ends_when_python_finds_that() -> None:
    counting = Counting(40)
    ring: list[Any] = [Ahead(counting, 3)]
    ring.append(ring)
    next(ring[0])
    del ring
    gc.collect()
    all_over()
    assert counting.closed == 1


@pytest.mark.parametrize("in_a_with", [False, True])
def test_python_may_find_that_in_the_reader_s_own_thread(in_a_with: bool) -> None:
    """It looks for cycles in whichever thread asks for memory; a generator found there is closed there."""
    gone = threading.Event()

    def collect(number: int) -> None:
        if number == 3:
            gone.wait(LONG)
            gc.collect()

    def frames() -> Iterator[Frame]:
        with Ahead(counting, 8) as source:
            yield from source

    counting = Counting(40, collect)
    gc.disable()
    try:
        ring: list[Any] = [frames() if in_a_with else Ahead(counting, 8)]
        ring.append(ring)
        next(ring[0])
        del ring
        gone.set()
        all_over()
        assert counting.closed >= 1 and counting.made == 3
    finally:
        gc.enable()


@pytest.mark.parametrize("fps", [2, 100])
def test_a_program_that_leaves_it_open_ends(footage: dict[str, Any], fps: float) -> None:
    script = f"import infinipot_v as iv; s = iv.open_source({str(footage['sound'])!r}, fps={fps}, ahead=4); next(s)"
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LONG, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Ctrl-C ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_ctrl_c")
def test_ctrl_c_reaches_who_waits_for_a_frame_that_takes_for_ever() -> None:
    going_on = threading.Event()

    def press(number: int) -> None:
        if number == 4:
            press_ctrl_c(going_on)

    counting, taken = Counting(9, press), []
    with Ahead(counting, 1) as source:
        with pytest.raises(KeyboardInterrupt):
            for frame in source:
                taken.append(frame.seconds)
        assert counting.made == 3 and len(taken) <= 3
        assert list(source) == [], "as with a generator, there it has ended"
        going_on.set()
    assert (counting.closed, readers()) == (1, [])


@pytest.mark.usefixtures("one_ctrl_c")
def test_ctrl_c_ends_the_waiting_of_close_and_closing_again_waits_again() -> None:
    begun, going_on = threading.Event(), threading.Event()

    def press(number: int) -> None:
        if number == 2:
            begun.set()
            while source._token is not None:
                pass
            press_ctrl_c(going_on)

    counting = Counting(9, press)
    source = Ahead(counting, 8)
    next(source)
    assert begun.wait(LONG)
    with pytest.raises(KeyboardInterrupt):
        source.close()
    assert counting.closed == 0
    going_on.set()
    source.close()
    assert (counting.closed, readers()) == (1, [])


class AtOpcode:
    """Raises SIGINT before the n-th step of Python's own machine in what `Ahead` is made of; again `more` steps on.

    That is every moment at which a signal could be handled, and some at which none is.
    """

    FILES = (ahead.__file__, interrupts.__file__, contextlib.__file__, threading.__file__, __file__)

    def __init__(self, *at: int) -> None:
        self.at, self.count = set(at), 0

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename not in self.FILES or frame.f_code.co_name == "interrupted":
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.count += 1
            if self.count in self.at:
                signal.raise_signal(signal.SIGINT)
        return self


def interrupted(act: Callable[[], object], *at: int) -> bool:
    """Whether Ctrl-C came while it acted."""
    sys.settrace(AtOpcode(*at))
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_interrupted_at_any_step_it_leaves_nothing() -> None:
    counted: list[Counting] = []

    def read() -> None:
        counted[:] = [Counting(9)]
        with Ahead(counted[0], 2) as source:
            list(islice(source, 4))

    at = 1
    while interrupted(read, at):
        all_over()
        assert counted == [] or counted[0].closed == 1 or counted[0].made == 0, f"interrupted at step {at}"
        at += 1
    assert at > 300


def test_interrupted_twice_it_leaves_nothing() -> None:
    """Ctrl-C, and once more while that is dealt with."""
    counted: list[Counting] = []

    def read() -> None:
        counted[:] = [Counting(9)]
        with Ahead(counted[0], 2) as source:
            list(islice(source, 4))

    rng = random.Random(0)
    for _ in range(300):
        first, more = rng.randrange(150, 600), rng.randrange(1, 80)
        interrupted(read, first, first + more)
        all_over()
        assert counted[0].closed == 1 or counted[0].made == 0, f"interrupted at steps {first} and {first + more}"


def test_files_are_closed_wherever_their_reading_is_interrupted(footage: dict[str, Any]) -> None:
    def read() -> None:
        with open_source([footage["sound"], footage["noisy"]], fps=2, ahead=2) as source:
            list(islice(source, 6))

    at, files = 1, open_files()
    while interrupted(read, at):
        gc.collect()
        all_over()
        gc.collect()
        assert open_files() == files, f"interrupted at step {at}"
        at += 11
    assert at > 300


CHILD = """
import gc, os, sys, threading, time
from infinipot_v import open_source

def left():
    gc.collect()
    until = time.monotonic() + 50
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.0005)
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    files = [os.readlink(link) for link in links if os.path.exists(link)]
    return threading.active_count() - 1, sum(name.endswith(".mp4") for name in files)

with open_source(sys.argv[2:], ahead=1) as source:
    list(source)  # all is imported
lost = []
sys.unraisablehook = lost.append  # an interrupt inside of what Python itself calls is thrown away by Python
for turn in range(int(sys.argv[1])):
    try:
        print("ready", flush=True)
        while not lost:
            with open_source(sys.argv[2:], fps=50, ahead=1 + turn % 4) as source:
                for number, frame in enumerate(source):
                    if number == turn:
                        break
    except KeyboardInterrupt:
        pass
    lost.clear()
    print(*left(), flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted where Linux lists them")
def test_a_program_that_is_interrupted_again_and_again(footage: dict[str, Any]) -> None:
    turns, rng, idle = 80, random.Random(1), threading.Event()
    command = [sys.executable, "-c", CHILD, str(turns), str(footage["sound"]), str(footage["noisy"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stderr is not None
        for _ in range(turns):
            assert child.stdout.readline() == "ready\n"
            idle.wait(rng.uniform(0.0, 0.03))
            child.send_signal(signal.SIGINT)
            assert child.stdout.readline() == "0 0\n", "no thread and no file is left"
        assert (child.wait(LONG), child.stderr.read()) == (0, "")


# The switch -----------------------------------------------------------------------------------------------------------


def test_there_is_no_thread_where_none_was_asked_for(footage: dict[str, Any]) -> None:
    for source in (open_source(footage["sound"]), open_source(footage["chain"])):
        with source:
            next(source)
            assert readers() == [] and not isinstance(source, Ahead)


def test_several_files_have_one_thread(footage: dict[str, Any]) -> None:
    with open_source(footage["chain"], fps=100, ahead=2) as source:
        for _ in islice(source, 60):
            assert len(readers()) == 1
        assert isinstance(source, Ahead) and isinstance(source._reader._source, Chain)


@pytest.mark.parametrize("most", [-1, 1.5, "8", None])
def test_what_is_no_number_of_frames_is_refused(footage: dict[str, Any], most: Any) -> None:
    with pytest.raises(UserError, match="ahead is .*: give a number of frames"):
        open_source(footage["sound"], ahead=most)


def test_it_is_a_source() -> None:
    source: Source = Ahead(Counting(1))
    source.close()
