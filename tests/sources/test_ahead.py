"""Frames made ahead are the frames made when asked for; the thread is bounded, and gone when nobody needs it."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infinipot_v.sources import ahead, open_source
from infinipot_v.sources.ahead import Ahead
from infinipot_v.sources.source import OneFile, OnePass, Source, Span
from infinipot_v.types import Frame, UserError
from tests import videos
from tests.core.test_interrupts import Interrupter


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """No thread at the end of any test; and Ctrl-C interrupts, also where a shell lets jobs ignore it."""
    gc.collect()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    files = _open_files()
    yield
    signal.signal(signal.SIGINT, handler)
    gc.collect()
    assert (readers(), _open_files()) == ([], files)


def _open_files() -> list[str]:
    """What this process has open of the tests' files."""
    folder = Path("/proc/self/fd")
    links = []
    for number in os.listdir(folder) if folder.exists() else ():
        with suppress(OSError):
            links.append(os.readlink(folder / number))
    return sorted(link for link in links if "pytest" in link)


# Nothing else changes -------------------------------------------------------------------------------------------------


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
    cut, hollow = _cut(folder / "cut.mkv"), _hollow(folder / "hollow.mp4")
    phone = videos.rotate(videos.write_video(folder / "phone.mp4", 20, size=(48, 80)))
    chain = [sound, cut, _folder(folder / "images"), hollow, noisy, phone]
    return {"sound": sound, "noisy": noisy, "cut": cut, "hollow": hollow, "phone": phone, "chain": chain}


def said(source: Source) -> tuple[Any, ...]:
    return source.duration, source.expected_frames, source.damaged, source.damage


def story(path: Any, **options: Any) -> list[Any]:
    """All that a reader can see: after opening, at every frame, at the end and how it came, and after closing."""
    with open_source(path, **options) as source:
        lines: list[Any] = [said(source)]
        try:
            for frame in source:
                lines.append((frame.seconds, frame.pixels.shape, frame.pixels.tobytes(), *said(source)))
            lines.append("the end")
        except UserError as error:
            lines.append(("refused", str(error)))
        lines += [said(source), list(source)]
    return [*lines, said(source), list(source)]


SPANS: list[dict[str, Any]] = [{"fps": 1000}, {"fps": 2}, {"fps": 10, "start": 1.55, "end": 3.1}, {"start": 2.9}]


@pytest.mark.parametrize("name", ["sound", "noisy", "cut", "hollow", "phone", "chain"])
@pytest.mark.parametrize("span", SPANS, ids=str)
def test_a_reader_sees_no_difference(footage: dict[str, Any], name: str, span: dict[str, Any]) -> None:
    try:
        expected = story(footage[name], ahead=0, **span)
    except UserError:  # such a start
        with pytest.raises(UserError):
            open_source(footage[name], **span)
        return
    assert len(expected) > 4
    for most in (1, 3, 8, 1000):
        assert story(footage[name], ahead=most, **span) == expected


def test_the_damage_of_frames_that_were_not_taken_is_not_told_yet(footage: dict[str, Any]) -> None:
    """The reader is at the end of the file by then."""
    with open_source(footage["noisy"], fps=1000, ahead=1000) as source, open_source(footage["noisy"], fps=1000) as all_:
        list(all_)
        next(source)
        readers()[0].join()
        assert (source.damaged, source.damage) == (0, None)
    assert (source.damaged, source.damage) == (0, None)
    assert all_.damaged > 0


def test_who_stops_can_go_on(footage: dict[str, Any]) -> None:
    with open_source(footage["sound"], fps=10) as source:
        times = [frame.seconds for _ in range(9) for frame in islice(source, 4)] + [f.seconds for f in source]
    assert times == pytest.approx([index / 10 for index in range(40)])


# A source whose every move is seen ----------------------------------------------------------------------------------


class Counting(OneFile):
    """Gives `frames` of `size` pixels, counts them, and then does `last`."""

    duration, expected_frames = None, None

    def __init__(self, frames: int, size: int = 4, last: Callable[[Counting], object] = id) -> None:
        self.frames, self.size, self.last, self.made, self.closed = frames, size, last, 0, 0
        self.between: Callable[[], object] = lambda: None
        super().__init__(Path("counting"), Span())

    def _give(self) -> Generator[Frame, None, None]:
        while self.made < self.frames:
            self.made += 1
            yield Frame(np.zeros((self.size, 1, 3), np.uint8), float(self.made))
        self.last(self)

    def close(self) -> None:
        super().close()
        self.closed += 1


def _settled(counting: Counting) -> int:
    """How many frames were made once no more come; a reader that has lost its way would go on in this time."""
    made, since = -1, time.monotonic()
    while counting.made != made or time.monotonic() - since < 0.03:
        if counting.made != made:
            made, since = counting.made, time.monotonic()
        time.sleep(0.001)
    return made


@pytest.mark.parametrize("most", [1, 2, 5])
def test_it_is_never_further_ahead_than_it_may_be(most: int) -> None:
    counting = Counting(40)
    with Ahead(counting, most) as source:
        assert (readers(), counting.made) == ([], 0), "nothing is read before a frame is asked for"
        for taken, _ in enumerate(source, 1):
            assert counting.made <= taken + most
            if taken in (1, 2, 20):
                assert _settled(counting) == taken + most
    assert (counting.made, counting.closed > 0) == (40, True)


def test_large_frames_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "ROOM", 3000)
    for size, most in [(100, 8), (300, 3), (1001, 1)]:
        counting = Counting(40, size)
        with Ahead(counting, 8) as source:
            next(source)
            assert _settled(counting) == 1 + min(most, 8)


@pytest.mark.parametrize("error", [RuntimeError("torn"), UserError("none"), MemoryError(), KeyboardInterrupt()])
def test_an_error_comes_behind_the_frames_before_it(error: BaseException) -> None:
    def fail(_counting: Counting) -> None:
        raise error

    taken = []
    with Ahead(Counting(5, last=fail), 8) as source:
        with pytest.raises(type(error)) as caught:
            for frame in source:
                taken.append(frame.seconds)
        assert caught.value is error and readers() == []
        assert list(source) == []
    assert taken == [1, 2, 3, 4, 5]


def _press_ctrl_c_and_decode(counting: Counting) -> None:
    """Ctrl-C while the main thread waits for a frame that takes for ever."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    while True:
        counting.between()
        time.sleep(0.001)


def test_ctrl_c_reaches_who_waits_for_a_frame() -> None:
    counting = Counting(3, last=_press_ctrl_c_and_decode)
    source = Ahead(counting, 8)
    with pytest.raises(KeyboardInterrupt):
        for _ in source:
            pass
    assert (readers(), counting.closed > 0) == ([], True), "before anybody closes it"
    assert list(source) == []
    source.close()


def test_interrupted_at_any_call_it_leaves_nothing(footage: dict[str, Any]) -> None:
    def read() -> None:
        with open_source([footage["phone"], footage["sound"]], fps=2, ahead=2) as source:
            list(islice(source, 6))

    at = 1
    while Interrupter(at).interrupt(read):
        assert readers() == [], f"interrupted at call {at}"
        at += 3
    assert at > 200


# Nothing is left ------------------------------------------------------------------------------------------------------


def _left_by_closing(source: Source) -> None:
    source.close()
    source.close()


def _left_by_an_error(source: Source) -> None:
    with suppress(ZeroDivisionError), source:
        raise ZeroDivisionError


def _forgotten(_source: Source) -> None:
    pass


@pytest.mark.parametrize("name", ["sound", "noisy", "chain"])
def test_two_hundred_early_exits(footage: dict[str, Any], name: str) -> None:
    rng = random.Random(name)
    for _ in range(70):
        source = open_source(footage[name], fps=rng.choice([1, 5, 100]), ahead=rng.randint(1, 8))
        list(islice(source, rng.randrange(12)))
        leave = rng.choice([_left_by_closing, _left_by_an_error, _forgotten])
        leave(source)
        if leave is not _forgotten:
            assert list(source) == []
        del source
        if leave is _forgotten and name == "chain":
            gc.collect()  # a chain holds itself, as every source here that is read in the caller's thread
        assert readers() == []


def test_forgotten_in_the_reader_s_own_thread_it_ends(footage: dict[str, Any]) -> None:
    """Python looks for cycles in whichever thread asks for memory."""
    collected = threading.Event()

    def collect(_counting: Counting) -> None:
        gone.wait()
        gc.collect()
        collected.set()

    gone = threading.Event()
    ring: list[Any] = [Ahead(Counting(2, last=collect), 8)]
    ring.append(ring)
    gc.disable()
    try:
        next(ring[0])
        reader = readers()[0]
        del ring
        gone.set()
        assert collected.wait(60)
        reader.join(60)
        assert not reader.is_alive()
    finally:
        gc.enable()


def test_a_program_that_leaves_it_open_ends(footage: dict[str, Any]) -> None:
    script = f"import infinipot_v as iv; source = iv.open_source({str(footage['sound'])!r}, fps=100); next(source)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The switch -----------------------------------------------------------------------------------------------------------


def test_no_thread_where_none_is_wanted_or_needed(footage: dict[str, Any]) -> None:
    images = footage["chain"][2]
    for source in (open_source(footage["sound"], ahead=0), open_source(images), open_source([images, images])):
        with source:
            next(source)
            assert isinstance(source, OnePass) and readers() == []


@pytest.mark.parametrize("most", [-1, 1.5, "8", None])
def test_what_is_no_number_of_frames_is_refused(footage: dict[str, Any], most: Any) -> None:
    with pytest.raises(UserError, match="ahead is .*: give a number of frames"):
        open_source(footage["sound"], ahead=most)
