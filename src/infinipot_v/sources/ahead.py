"""Frames made ahead: a thread decodes a few of them while the model works on those before. Knows no model.

FFmpeg decodes and converts without Python's lock. Only C queues lie between the two threads: a signal in the middle of
taking a frame can leave no lock behind that the other would wait for.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Generator
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import NamedTuple, Protocol

from infinipot_v.sources.chain import Part
from infinipot_v.sources.source import OnePass, Span
from infinipot_v.types import Frame

ROOM = 128 * 2**20
"""Bytes of pixels that frames made ahead may take, give or take one: five of 4K. One frame may always be made."""


class Readable(Part, Protocol):
    """What a reader asks of its source."""

    span: Span
    between: Callable[[], object]
    """Called at every packet; what it raises ends the reading."""


class Seen(NamedTuple):
    """What a source says of itself at one of its frames."""

    damaged: int
    damage: str | None
    ends: float | None


class Ahead(OnePass):
    """The frames of `source`, at most `most` of them made before they are asked for.

    Everything else is as if they were made when asked for: their order, the damage so far, and errors, which come
    behind the frames before them. The thread begins with the first frame that is asked for. It has ended, and the file
    is closed, when the frames have ended, however that was (Ctrl-C while one is waited for ends them), when `close`
    returns, and when nobody holds the source any more. Frames that nobody has asked for are there for the next who
    does; closing drops them.
    """

    def __init__(self, source: Readable, most: int) -> None:
        self._reader = Reader(source, most)
        self.duration, self.expected_frames = source.duration, source.expected_frames
        super().__init__(source.span)
        self.damaged, self.damage, self.ends = self._reader.seen

    def _give(self) -> Generator[Frame, None, None]:
        return _taken(self._reader)  # which does not know this object: forgotten, it ends at once

    def __next__(self) -> Frame:
        try:
            return super().__next__()
        finally:
            self.damaged, self.damage, self.ends = self._reader.seen

    def close(self) -> None:
        super().close()
        self._reader.end()


def _taken(reader: Reader) -> Generator[Frame, None, None]:
    """Frames of a reader that runs as long as they are given. A program may end before: atexit."""
    atexit.register(reader.end)
    try:
        reader.start()
        while (frame := reader.take()) is not None:
            yield frame
    finally:
        reader.end()
        atexit.unregister(reader.end)


class Reader(Thread):
    """Reads `source`, which is its alone while it runs, and closes it. `seen` is for the frame that was taken last."""

    def __init__(self, source: Readable, most: int) -> None:
        super().__init__(name="read-ahead", daemon=True)  # else a source left open would keep a program from ending
        self._source, self._most = source, most
        self._made: SimpleQueue[tuple[Frame | BaseException | None, Seen]] = SimpleQueue()
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._ahead, self._halted = 0, False
        self.seen = self._look()

    def take(self) -> Frame | None:
        """The next frame, waited for; None behind the last. Raises what the source raised in its place."""
        self._asked.put(None)
        came, self.seen = self._made.get()
        if isinstance(came, BaseException):
            raise came
        return came

    def end(self) -> None:
        """Stop at the next packet, and wait for that; drop what was made. Twice is once."""
        self._halted = True
        self._asked.put(None)
        if not self.is_alive():
            self._source.close()
        elif self is not current_thread():  # where Python looks for cycles, sources are forgotten in any thread
            self.join()
        self._made = SimpleQueue()

    def run(self) -> None:
        """The thread: whatever ends the reading is handed over like a frame."""
        try:
            with self._source:
                self._source.between = self._go_on
                for frame in self._source:
                    self._made.put((frame, self._look()))
                    self._wait_for_room(frame.pixels.nbytes)
        except BaseException as error:
            self._made.put((error, self._look()))
        else:
            self._made.put((None, self._look()))

    def _look(self) -> Seen:
        return Seen(self._source.damaged, self._source.damage, self._source.ends)

    def _wait_for_room(self, size: int) -> None:
        """Behind every frame: until the next one, if it is of the same `size` in bytes, may be made."""
        self._ahead += 1
        while self._ahead >= max(1, min(self._most, ROOM // size)):
            self._asked.get()
            self._ahead -= 1
            self._go_on()

    def _go_on(self) -> None:
        if self._halted:
            raise GeneratorExit  # as closing the source would, between two of its frames
