"""The clock: explicit positions, built step by step; never from the stored length, never from the stream's length.

A clock is a value. `place` answers the positions of a block and the clock after it, and the session takes the new
clock only when the block is in memory: so a step that is rolled back never happened for the clock either.
"""

from infinipot_v.positions.base import Clock, StreamTooLong
from infinipot_v.positions.line import LineClock
from infinipot_v.positions.mrope import MRopeClock, TextStart
from infinipot_v.positions.rotary import Rotary, line_rotary, without_rotation

__all__ = [
    "Clock",
    "LineClock",
    "MRopeClock",
    "Rotary",
    "StreamTooLong",
    "TextStart",
    "line_rotary",
    "without_rotation",
]
