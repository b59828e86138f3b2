"""Time: which frames are due, and where frames belong whose timestamps are missing or impossible. Pure arithmetic."""

from __future__ import annotations

import math

TOLERANCE = 1e-3
"""Containers round timestamps to a millisecond: a frame this much before its tick is on it."""
MOST_SECONDS = 10**8
"""No video lasts longer."""
JUMP = 10.0
"""Seconds. A timestamp further than this ahead, and behind the video's end, is not believed."""
DISORDER = 1.0
"""Seconds. Frames this little behind the last one are out of order; further behind, the clock was set anew."""


class Ticks:
    """Ticks lie at `start + k / fps` (without a `start`: at the first frame's time). The first frame at or after a tick
    is due; a frame behind several ticks (a variable rate, a gap) is due once. From `end` on, none is.
    """

    def __init__(self, fps: float, start: float | None, end: float | None = None) -> None:
        self._fps, self._origin, self._tick = fps, start, start or -math.inf
        self._tolerance = min(TOLERANCE, 0.1 / fps)
        self._end = math.inf if end is None else end - self._tolerance

    def over(self, seconds: float) -> bool:
        """Whether a frame at `seconds` lies at the end or behind it."""
        return seconds >= self._end

    def due(self, seconds: float) -> bool:
        """Whether the frame at `seconds` is to be given. Ask once a frame, in ascending time."""
        if seconds < self._tick - self._tolerance:
            return False
        self._origin = seconds if self._origin is None else self._origin
        passed = math.floor((seconds - self._origin + self._tolerance) * self._fps)
        self._tick = self._origin + (passed + 1) / self._fps
        return True


class Timeline:
    """Gives decoded frames strictly ascending times from 0 on, whatever their timestamps say.

    Sound timestamps are kept as they are, relative to `zero`. A missing one is the last plus `gap`, the usual interval.
    One that goes back or leaps beyond `duration` is not believed: a moment back, the frame is left out; else the
    clock was set anew (recordings joined end to end) or a bit fell over, and time goes on by `gap` from there.
    """

    def __init__(self, zero: float | None, gap: float, duration: float | None) -> None:
        self._zero, self._gap, self._duration = zero, gap, duration
        self._last: float | None = None
        self._shift, self._left_out = 0.0, 0
        self.misplaced = 0
        """Frames so far whose timestamp was not believed."""

    def place(self, time: float | None) -> float | None:
        """The place of the next frame, whose timestamp is `time` seconds (None: it has none); None: leave it out."""
        following = 0.0 if self._last is None else self._last + self._gap * (1 + self._left_out)
        if time is None:
            return self._at(following)
        if self._zero is None or (self._last is None and time < self._zero):
            self._zero = time - following
        seconds = time - self._zero
        for shift in (0.0, self._shift):
            if self._believable(seconds + shift):
                self._shift = shift
                return self._at(seconds + shift)
        self.misplaced += 1
        if self._out_of_order(seconds) or self._out_of_order(seconds + self._shift):
            self._left_out += 1
            return None
        self._shift = following - seconds
        return self._at(following)

    def _at(self, seconds: float) -> float:
        self._last, self._left_out = seconds, 0
        return seconds

    def _believable(self, seconds: float) -> bool:
        if self._last is not None and seconds <= self._last:
            return False
        beyond = self._duration is not None and seconds > self._duration + JUMP
        return seconds <= MOST_SECONDS and not (beyond and seconds > (self._last or 0.0) + JUMP)

    def _out_of_order(self, seconds: float) -> bool:
        """A moment back; if that goes on and on, it is not order that is missing."""
        back = -1.0 if self._last is None else self._last - seconds
        return 0 <= back < DISORDER and self._left_out * self._gap < DISORDER


class Rhythm:
    """Whether frames come at a constant rate, and if so, how many are missing where nothing but their absence tells.

    A variable rate has no holes: there, every interval is as it should be.
    """

    def __init__(self, gap: float) -> None:
        self._gap, self._last = gap, math.inf
        self._even = self._odd = self._left_out = 0

    def beat(self, seconds: float) -> None:
        """The next frame's time."""
        interval, self._last = seconds - self._last, seconds
        if abs(interval - self._gap) <= 0.1 * self._gap + TOLERANCE:
            self._even += 1
        elif interval > 0:
            self._odd += 1
            self._left_out += round(interval / self._gap) - 1 if interval > 3 * self._gap else 0

    @property
    def constant(self) -> bool:
        """At least ten intervals are even for each that is not."""
        return self._even >= 10 * max(1, self._odd)

    @property
    def missing(self) -> int:
        return self._left_out if self.constant else 0
