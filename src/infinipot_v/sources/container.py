"""Opening a video file with PyAV: what is refused, which stream is watched, and how long it says it is."""

from __future__ import annotations

import re
from pathlib import Path

import av
from av.error import FFmpegError

from infinipot_v.types import UserError

MOST_PIXELS = 100_000_000
"""No larger picture is decoded: three times 8K, 300 MB in RGB. A damaged header may claim any size."""
TIMEOUT = 60.0
"""Seconds that opening, or one read, may take: playlists wait for more, and a share may be gone."""


def open_container(path: Path) -> av.container.InputContainer:
    """Raises `UserError`, one line, for what is no video."""
    if _is_playlist(path):  # FFmpeg would wait until what it names is there
        raise UserError(f"{path} is a playlist: give the videos that it names, as a list")
    try:  # without `options`: they crash av 15 where a stream appears late; by itself FFmpeg keeps to local files
        container = av.open(str(path.absolute()), metadata_errors="replace", timeout=TIMEOUT)
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions") from error
    except (FFmpegError, OSError) as error:
        reason = error.strerror
        raise UserError(f"{path} is not a video or an image, or is damaged ({reason}); check it in a player") from error
    if container.format.name == "tty":  # FFmpeg would draw any text file as terminal output
        container.close()
        raise UserError(f"{path} is not a video but text: give a video file")
    return container


def _is_playlist(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"#EXTM3U", b"ffconcat"))
    except OSError:
        return False


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first that is no picture on a cover, ready to decode. Raises `UserError` where there is none."""
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise UserError(f"{path} has no video stream (sound or pictures on a cover only): give a file with pictures")
    stream = streams[0]
    if stream.codec_context is None:
        raise UserError(f"no decoder for the video in {path}: convert it to H.264")
    if stream.width * stream.height > MOST_PIXELS:
        size = f"{stream.width} x {stream.height}"
        raise UserError(f"pictures of {size} in {path} are more than {MOST_PIXELS:,} pixels: scale the video down")
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    return stream


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def length(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[float | None, bool]:
    """Seconds of the video stream by the header, None if it is silent; and whether that is exact."""
    avi = container.format.name == "avi"  # which counts its frames, and else guesses by the file's size
    own = seconds(stream.frames if avi and stream.frames else stream.duration, stream)
    if own is None and (last := _clock(stream.metadata.get("DURATION", ""))):  # Matroska: the track's last moment
        own = last - (seconds(stream.start_time, stream) or 0.0)
    if own is None and container.duration is not None:
        return max(0.0, container.duration / av.time_base) or None, False  # the longest of all streams
    in_fragments = "mov" in container.format.name and not stream.frames  # what their header says is rounded up
    return (own if own and own > 0 else None), not in_fragments


def seconds(ticks: int | None, stream: av.VideoStream) -> float | None:
    """A time in the stream's unit; None where either is missing."""
    return None if ticks is None or not stream.time_base else float(ticks * stream.time_base)


def _clock(text: str) -> float | None:
    """Seconds of `00:01:02.500000000`; None for anything else."""
    found = re.fullmatch(r"([0-9]{1,6}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]+)?)", text)
    return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
