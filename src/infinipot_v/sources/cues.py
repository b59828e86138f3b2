"""What is said in a video, and when: subtitles from files, and from tracks of a video."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.types import UserError

MOST_BYTES = 64 * 2**20
"""A file of text is not larger; a larger one is a video with a track of text."""
MARKUP = re.compile(r"\{[^}]*\}|</?[a-zA-Z][^>]*>")
"""Styles of ASS, and of what FFmpeg leaves as it stands."""


@dataclass(frozen=True)
class Cue:
    """`text` on the screen from `start` to `end`, seconds of its video."""

    start: float
    end: float
    text: str

    @property
    def middle(self) -> float:
        """The second that it is told apart from others by."""
        return (self.start + self.end) / 2

    def covers(self, seconds: float) -> bool:
        """Whether a picture of that moment would have it; a short one counts as a second long."""
        half = max(0.5, (self.end - self.start) / 2)
        return self.middle - half < seconds < self.middle + half


def read_cues(path: Path) -> list[Cue]:
    """The cues of a file (SRT, WebVTT, ASS), or of the first track of text in a video, in order of time.

    Styles are left out. Text that is not UTF-8 or UTF-16 is read as Windows-1252. Raises `UserError` for a file without
    a cue.
    """
    import av
    from av.error import FFmpegError

    try:
        with av.open(_content(path), metadata_errors="replace") as container:
            tracks = container.streams.subtitles
            if not tracks:
                raise UserError(f"{path} has no subtitles: give a file of them (.srt, .vtt, .ass)")
            found = list(_cues(container, tracks[0]))
    except (FFmpegError, OSError) as error:
        raise UserError(f"{path} is no file of subtitles ({error.strerror}): give .srt, .vtt or .ass") from error
    if not found:
        raise UserError(f"{path} holds no line of text: give another file of subtitles")
    return sorted(found, key=lambda cue: (cue.middle, cue.start))


def _content(path: Path) -> Any:
    """What PyAV opens: the file, or its text where that is to be read in another encoding."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return str(path)
    data = path.read_bytes()
    if b"\0" in data[:4096]:  # a video, or UTF-16, which FFmpeg knows by its mark
        return str(path)
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode("cp1252", errors="replace").encode()
    return io.BytesIO(data)


def _cues(container: Any, track: Any) -> Iterator[Cue]:
    from av.error import FFmpegError

    for packet in container.demux(track):
        if packet.pts is None or not packet.duration:
            continue
        try:
            text = "\n".join(_text(subtitle) for subtitles in packet.decode() for subtitle in _rects(subtitles))
        except FFmpegError:  # a damaged line, as players skip it
            continue
        start, end = (float(ticks * packet.time_base) for ticks in (packet.pts, packet.pts + packet.duration))
        if text.strip() and math.isfinite(start) and end > start >= 0:
            yield Cue(start, end, text.strip())


def _rects(subtitles: Any) -> Iterator[Any]:
    """PyAV 14 gives sets of subtitles, newer ones each by itself."""
    yield from subtitles if hasattr(subtitles, "rects") else (subtitles,)


def _text(subtitle: Any) -> str:
    """Plain text of one subtitle; empty for one that is a picture."""
    said = getattr(subtitle, "dialogue", b"").decode(errors="replace").replace("\\h", " ")
    lines = MARKUP.sub("", said).replace("\\N", "\n").split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())
