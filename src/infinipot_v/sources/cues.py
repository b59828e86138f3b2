"""Reading what is said in a video, and when: subtitles from files, and from tracks of a video. Needs PyAV."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from infinipot_v.sources.captions import Cue
from infinipot_v.sources.container import TIMEOUT, seconds, video_stream
from infinipot_v.types import UserError


def read_cues(path: Path) -> list[Cue]:
    """The cues of a file (SRT, WebVTT, ASS), or of the first track of text in a video, in order of time.

    Styles are left out. A line that is not UTF-8 (the file may be UTF-16) is read as Windows-1252. Times of a track
    count from the start of its video. Raises `UserError` for a file without a cue.
    """
    try:
        with av.open(str(path.absolute()), metadata_errors="replace", timeout=TIMEOUT) as container:
            tracks = [track for track in container.streams.subtitles if track.codec_context is not None]
            if not tracks:
                raise UserError(f"{path} has no subtitles: give a file of them (.srt, .vtt, .ass)")
            found = list(_cues(container, tracks[0], _began(container, path)))
    except (FFmpegError, OSError) as error:
        raise UserError(f"{path} is no file of subtitles ({error.strerror}): give .srt, .vtt or .ass") from error
    if not found:
        raise UserError(f"{path} holds no line of text: give another file of subtitles")
    return sorted(found, key=lambda cue: (cue.middle, cue.start))


def _began(container: Any, path: Path) -> float:
    """The time of the first picture, from which all of ours count."""
    if not container.streams.video:
        return 0.0
    video = video_stream(container, path)
    return seconds(video.start_time, video) or 0.0


def _cues(container: Any, track: Any, began: float) -> Iterator[Cue]:
    read = _READERS.get(track.codec_context.name)
    for packet in container.demux(track):
        if packet.pts is None or not packet.duration:
            continue
        start, end = (float(ticks * packet.time_base) - began for ticks in (packet.pts, packet.pts + packet.duration))
        text = "\n".join(line.strip() for line in _text(packet, read).split("\n") if line.strip())
        if text and math.isfinite(start) and end > start >= 0:
            yield Cue(start, end, text)


def _text(packet: Any, read: Callable[[str], str] | None) -> str:
    """Plain text of a packet; empty for pictures, and for a damaged line, which players skip."""
    if read is not None:
        return read(_decoded(bytes(packet)))
    try:
        return _ass(",,,,,,,," + "\n".join(_dialogue(one) for sets in packet.decode() for one in _each(sets)))
    except FFmpegError:
        return ""


def _each(subtitles: Any) -> Iterator[Any]:
    """PyAV 14 gives sets of subtitles, newer ones each by itself."""
    yield from subtitles if hasattr(subtitles, "rects") else (subtitles,)


def _dialogue(subtitle: Any) -> str:
    """What FFmpeg makes of a subtitle of any other kind: text with the styles of ASS."""
    return str(getattr(subtitle, "dialogue", b"").decode(errors="replace"))


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


_SRT_STYLE = re.compile(r"</?(?:[biusBIUS]|font|FONT)(?:\s[^<>]*)?>|\{\\[^{}]*\}")
_VTT_STYLE = re.compile(r"</?(?:c|i|b|u|v|ruby|rt|lang)(?:[.\s][^<>]*)?>|<[\d:.]+>")
_ASS_STYLE = re.compile(r"\{[^{}]*\}")
_ASS_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}.*?(?:\{[^{}]*\\p0[^{}]*\}|$)", re.DOTALL)


def _srt(text: str) -> str:
    return _SRT_STYLE.sub("", text)


def _vtt(text: str) -> str:
    return html.unescape(_VTT_STYLE.sub("", text))


def _ass(event: str) -> str:
    """The text of an event, behind its eight other fields; drawings are none."""
    text = _ASS_STYLE.sub("", _ASS_DRAWING.sub("", event.split(",", 8)[-1]))
    return text.replace("\\N", "\n").replace("\\n", " ").replace("\\h", " ")


_READERS: dict[str, Callable[[str], str]] = {
    "srt": _srt, "subrip": _srt, "text": _srt, "webvtt": _vtt, "ass": _ass, "ssa": _ass,
}  # fmt: skip
