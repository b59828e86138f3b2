"""Where frames come from. No torch here; PyAV is imported when a video is opened, Pillow when a file is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from infinipot_v.sources.source import Source

__all__ = ["Source", "open_source"]


def open_source(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    fps: float = 1.0,
    start: float | None = None,
    end: float | None = None,
    subtitles: str | PathLike[str] | None = None,
    ahead: int = 0,
) -> Source:
    """Open a video file, a folder of images, an image, or several of these as one stream.

    Gives about `fps` frames a second, from `start` (inclusive) to `end` (exclusive) seconds of the stream. A video is
    sampled by its timestamps. An image stands for `1 / fps` seconds; those of a folder follow one another in the
    natural order of their names. Of several paths, each begins where the one before it ended.

    `subtitles` names what is said in a single video: a file (SRT, WebVTT, ASS), or a video with a track of text, itself
    for one. Each frame then brings the `text` that is said until the next one; see `captioned`.

    While the caller works on a frame, a thread makes up to `ahead` of the next ones; nothing else changes by it, and
    with 0 there is no thread. The command line has 8 (`sources.ahead.FRAMES`).

    Use it in a `with` statement. Raises `UserError`, one line with the remedy, for a path that cannot be watched, a
    rate that is not above 0, or an empty range; while iterating, when not one frame could be given.
    """
    from infinipot_v.sources.opening import open_any

    return open_any(path, fps, start, end, subtitles, ahead)
