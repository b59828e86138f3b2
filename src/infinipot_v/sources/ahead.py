"""Frames made ahead: a thread reads a source while the caller works on the frames before. Knows no file and no model.

Ctrl-C may come between any two steps of the main thread, and must leave no file open. So the thread, which no signal
reaches, reads the source and closes it, and all that it waits for are C queues: an interrupt leaves none of them half
used. It goes on only while somebody holds the source's token. That is let go in one step, by `close` or by the last
reference; the token's end wakes the thread from C, where no interrupt comes between.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import NamedTuple, Self
from weakref import ref

from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.sources.source import Once, Source
from infinipot_v.types import Frame

FRAMES = 8
"""How many may wait: as many as a session takes at once, four steps of two frames. Of 720p 22 MB, of 4K 200 MB."""


class Said(NamedTuple):
    """What a source says of itself at one of its frames."""

    duration: float | None
    expected_frames: int | None
    damaged: int
    damage: str | None
    ends: float | None

    @classmethod
    def by(cls, source: Source) -> Self:
        """Right now. Only parts of a chain know where they end."""
        ends = getattr(source, "ends", None)
        return cls(source.duration, source.expected_frames, source.damaged, source.damage, ends)


class Ahead(Once):
    """The `Source` of the same frames as `source`; at most `most` (from 1 on) are made before they are asked for.

    What it says of itself is what `source` said when it made the frame that was given last; errors come behind the
    frames before them. The thread begins with the first frame that is asked for. When it has ended, `source` is closed:
    behind the last frame or an error, when `close` returns, and soon after nobody holds this object any more. `close`
    waits for the frame that is being made; an interrupt ends the waiting, and the thread ends all the same.
    """

    def __init__(self, source: Source, most: int = FRAMES) -> None:
        self._token: Token | None = Token()
        self._reader = Reader(source, most, self._token)
        self._frames = _given(self._reader)

    @property
    def duration(self) -> float | None:
        """See `Source`."""
        return self._reader.said.duration

    @property
    def expected_frames(self) -> int | None:
        """See `Source`."""
        return self._reader.said.expected_frames

    @property
    def damaged(self) -> int:
        """See `Source`."""
        return self._reader.said.damaged

    @property
    def damage(self) -> str | None:
        """See `Source`."""
        return self._reader.said.damage

    @property
    def ends(self) -> float | None:
        """Where the frames given so far end; None where `source` does not know."""
        return self._reader.said.ends

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """See `Source`; frames that wait are dropped."""
        self._token = None
        self._frames.close()
        self._reader.close()


class Token:
    """Lives as long as frames are wanted."""


def _given(reader: Reader) -> Generator[Frame, None, None]:
    """Frames as they come. Knows nothing of the `Ahead` that it belongs to, which therefore ends with its last user."""
    with deferred_interrupts():  # an interrupt inside of `start` could leave a thread that waits for ever
        reader.start()
    while (frame := reader.take()) is not None:
        yield frame


class Reader(Thread):
    """Reads `source` as long as `token` lives, and closes it. `said` belongs to the frame that was taken last."""

    def __init__(self, source: Source, most: int, token: Token) -> None:
        super().__init__(name="ahead", daemon=True)  # a source left open keeps no program from ending
        self.said = Said.by(source)
        self._source = source
        self._made: SimpleQueue[tuple[Frame, Said] | BaseException | None] = SimpleQueue()
        self._places: SimpleQueue[object] = SimpleQueue()
        for _ in range(most - 1):  # the first frame needs none
            self._places.put(None)
        self._wanted = ref(token, self._places.put)
        self._ended = Lock()
        self._ended.acquire()

    def take(self) -> Frame | None:
        """The next frame, waited for; None behind the last. Raises what the source raised in its place."""
        came = self._made.get()
        if isinstance(came, tuple):
            frame, self.said = came
            self._places.put(None)
            return frame
        self.said = Said.by(self._source)  # which the thread has closed, and touches no more
        try:
            if came is not None:
                raise came
            return None
        finally:
            del came  # else its traceback would hold itself, and all who called

    def close(self) -> None:
        """Wait until the source is closed; one that was never read is closed here. The token must be gone."""
        if self.ident is None:
            self._source.close()
        elif self.is_alive() and self is not current_thread():  # where Python looks for cycles, it may be
            with self._ended:  # `join` alone would believe in an end that an interrupt kept it from waiting for
                pass
            self.join()
        self._made = SimpleQueue()

    def run(self) -> None:
        """The thread: what ends the reading is handed over like a frame."""
        try:
            self._read()
        except BaseException as error:
            self._made.put(error)
        else:
            self._made.put(None)
        finally:
            self._ended.release()

    def _read(self) -> None:
        with closing(self._source) as source:
            for frame in source:
                self._made.put((frame, Said.by(source)))
                self._places.get()
                if self._wanted() is None:
                    return
