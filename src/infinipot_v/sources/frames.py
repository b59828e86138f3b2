"""Turns what callers have at hand - a frame, arrays, a source - into an iterator of valid `Frame`s."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from infinipot_v.types import Frame, UserError

Watchable: TypeAlias = Frame | np.ndarray | Iterable[Frame | np.ndarray]
"""One frame, one array, or an iterable of either (a source is one; so is an array `[n, height, width, 3]`)."""


def as_frames(
    source: Watchable, seconds: float | Iterable[float] | None = None, fps: float | None = None
) -> Iterator[Frame]:
    """Yield the frames of `source`, each checked: uint8 `[height, width, 3]` (RGB), a finite time from 0 on.

    Frames bring their own time. Arrays need one: `seconds` is the time of one array, or one time an array, or, with
    `fps`, the time of the first. Lazy: nothing is taken from an iterable before it is asked for.
    Arrays are copied, for a camera loop fills the same buffer again and a frame may wait; the pixels of a `Frame` are
    its own and must not change. Raises `UserError` for anything else, naming what came. The order of times is not
    checked here.
    """
    if isinstance(source, Frame):
        yield _checked(source.pixels, source.seconds, source.text)
    elif _is_array(source) and np.ndim(source) != 4:
        yield _checked(np.asarray(source).copy(), seconds)
    elif isinstance(source, Iterable) and not isinstance(source, str | bytes | dict):
        yield from _many(source, _times(seconds, fps))
    else:
        raise UserError(f"cannot watch {_name(source)}: give a Frame, a uint8 array, or an iterable of them")


def _many(source: Iterable[Any], times: Iterator[float] | None) -> Iterator[Frame]:
    for item in source:
        if isinstance(item, Frame):
            yield _checked(item.pixels, item.seconds, item.text)
        elif _is_array(item):
            yield _checked(np.asarray(item).copy(), None if times is None else next(times, None))
        else:
            raise UserError(f"cannot watch {_name(item)}: an iterable must hold Frames or uint8 arrays")


def _times(seconds: float | Iterable[float] | None, fps: float | None) -> Iterator[float] | None:
    if fps is not None:
        if not (math.isfinite(fps) and fps > 0):
            raise UserError(f"fps is {fps}: give a number above 0")
        first = seconds if isinstance(seconds, int | float) else 0.0
        return (first + index / fps for index in count())
    if isinstance(seconds, Iterable):
        return iter(seconds)
    return None if seconds is None else iter([seconds])


def _checked(pixels: Any, seconds: Any, text: Any = "") -> Frame:
    array = np.asarray(pixels)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        what = f"{array.dtype} {list(array.shape)}"
        raise UserError(f"a frame must be uint8 [height, width, 3] (RGB), this one is {what}: convert it first")
    if seconds is None:
        raise UserError("an array has no time of its own: give seconds=, or fps= for an iterable of arrays")
    if not (isinstance(seconds, int | float | np.number) and math.isfinite(seconds) and seconds >= 0):
        raise UserError(f"a frame's time is {seconds!r}: give seconds from 0 on")
    return Frame(array, float(seconds), _checked_text(text))


def _checked_text(text: Any) -> str:
    if not isinstance(text, str):
        raise UserError(f"a frame's text is {_name(text)}: give a str")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError("a frame's text is not valid text (UTF-8): write it again") from error
    return text


def _is_array(item: object) -> TypeGuard[np.ndarray]:
    """Anything numpy can look at: arrays, pictures of PIL, CPU tensors."""
    return hasattr(item, "__array__") or hasattr(item, "__array_interface__")


def _name(item: object) -> str:
    return f"{type(item).__name__} {item!r:.40}" if isinstance(item, str | bytes) else f"a {type(item).__name__}"
