"""Frames of a video file, sampled by their timestamps. PyAV decodes; only frames that are given out get converted.

Knows no budget and no model. A damaged file gives what decodes, and counts what does not.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.error import FFmpegError

from infinipot_v.types import Frame, UserError

TOLERANCE = 1e-3
"""Containers round timestamps to a millisecond: a frame this much before its tick is on it."""
MOST_FPS, MOST_SECONDS = 1000, 10**8
"""No video has more frames a second, or lasts longer."""
UNKNOWN_RATE = 25.0
"""Frames a second of a stream that says neither its rate nor its timestamps."""


def open_source(path: str | Path, fps: float = 1.0, start: float | None = None, end: float | None = None) -> VideoFile:
    """Open a video file and sample it at `fps` frames a second, from `start` (inclusive) to `end` (exclusive) seconds.

    Use it in a `with` statement. Raises `UserError`, one line with the remedy, for a path that is no readable video, a
    rate that is not above 0, or an empty range; while iterating, when not one frame could be given.
    """
    _check_range(fps, start, end)
    path = Path(path)
    _check_path(path)
    return VideoFile(path, float(fps), start, end)


class VideoFile:
    """An iterator of `Frame`, in ascending time; one pass. Public: `path`, `fps`, `duration`, `damaged`.

    Ticks lie at `start + k / fps` (without a `start`: at the first frame's time). Each tick gives the first frame at or
    after it, with that frame's own time; a frame behind several ticks (a variable frame rate, a gap) is given once, so
    there are never more frames than the file has. Times count from the start of the video stream.
    """

    def __init__(self, path: Path, fps: float, start: float | None, end: float | None) -> None:
        self.path = path
        self.fps = fps
        self.damaged = 0
        """Packets that did not decode, and frames the decoder calls corrupt, so far."""
        self._start, self._end = start, end
        self._container = _open(path)
        try:
            self._stream = _video_stream(self._container, path)
            self.duration = _duration(self._container, self._stream)
            self._check_start()
        except BaseException:
            self._container.close()
            raise
        self._frames = self._sample()

    @property
    def expected_frames(self) -> int | None:
        """An estimate of how many frames will come, for a progress bar; None if the file does not tell."""
        if self.duration is None:
            return None
        span = min(self._end or math.inf, self.duration) - (self._start or 0.0)
        rate = float(self._stream.average_rate or math.inf)
        return max(1, math.ceil(span * min(self.fps, rate) - TOLERANCE))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the file and the decoder; no more frames come. Twice is once."""
        self._frames.close()
        self._container.close()

    def _check_start(self) -> None:
        if self._start and self.duration is not None and self._start >= self.duration:
            raise UserError(f"start is {self._start:g} s, but {self.path} ends at {self.duration:.1f} s: start earlier")

    def _sample(self) -> Generator[Frame, None, None]:
        """The ticks. `tick` is the time the next frame must reach."""
        tolerance = min(TOLERANCE, 0.1 / self.fps)
        origin, tick, decoded, given = self._start, self._start or -math.inf, 0, 0
        for picture, seconds in self._timed():
            decoded += 1
            if self._end is not None and seconds >= self._end:
                break
            if seconds < tick - tolerance:
                continue
            origin = seconds if origin is None else origin
            tick = origin + (math.floor((seconds - origin + tolerance) * self.fps) + 1) / self.fps
            given += 1
            yield Frame(_upright(picture), seconds)
        if not given:
            raise UserError(self._nothing(decoded))

    def _nothing(self, decoded: int) -> str:
        if decoded:
            return (
                f"{self.path} has no frame between {self._start or 0:g} s and {self._end or math.inf:g} s: widen them"
            )
        return (
            f"no frame of {self.path} could be decoded: the file is damaged or its codec unknown; convert it to H.264"
        )

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Decoded pictures and their time since the stream's start; without a timestamp, one gap after the last."""
        zero = _seconds(self._stream.start_time, self._stream)
        gap = 1 / float(self._stream.average_rate or UNKNOWN_RATE)
        self._seek(zero or 0.0)
        last: float | None = None
        for picture in self._pictures():
            time = _seconds(picture.pts, self._stream)  # `picture.time` lacks its unit at the end of the stream
            if time is None:
                time = (zero or 0.0) if last is None else last + gap
            zero = time if zero is None else zero
            last = time
            yield picture, max(0.0, time - zero)

    def _seek(self, zero: float) -> None:
        """To the key frame before `start`; what cannot seek is decoded from its beginning."""
        if self._start and self._stream.time_base:
            with suppress(FFmpegError):
                self._container.seek(int((self._start + zero) / self._stream.time_base), stream=self._stream)

    def _pictures(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            try:
                pictures = self._stream.codec_context.decode(packet)
            except FFmpegError:
                self.damaged += 1
                continue
            for picture in pictures:
                self.damaged += picture.is_corrupt
                yield picture

    def _packets(self) -> Iterator[av.Packet[Any] | None]:
        """Up to the end of the file, or to where it cannot be read on; then None, which empties the decoder."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except FFmpegError:
            self.damaged += 1
        yield None


def _check_range(fps: float, start: float | None, end: float | None) -> None:
    if not (math.isfinite(fps) and 0 < fps <= MOST_FPS):
        raise UserError(f"fps is {fps}: give a number above 0 and at most {MOST_FPS}, such as 1 or 0.5")
    for name, value in (("start", start), ("end", end)):
        if value is not None and not 0 <= value <= MOST_SECONDS:
            raise UserError(f"{name} is {value}: give seconds from 0 to {MOST_SECONDS:.0e}")
    if end is not None and (start or 0.0) >= end:
        raise UserError(f"start ({start or 0:g} s) is not before end ({end:g} s): nothing would be watched")


def _check_path(path: Path) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        raise UserError(f"no such file: {path}; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path!s:.80} cannot be opened ({reason}); check the path") from error
    if path.is_dir():
        raise UserError(f"{path} is a folder: give one video file in it")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes): copy or download it again")


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path.absolute()), mode="r", metadata_errors="replace")
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions") from error
    except (FFmpegError, OSError) as error:
        raise UserError(f"{path} is not a video, or a damaged one ({error.strerror}); check it in a player") from error
    if container.format.name == "tty":  # FFmpeg would draw any text file as terminal output
        container.close()
        raise UserError(f"{path} is not a video but text: give a video file")
    return container


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise UserError(f"{path} has no video stream (sound or pictures on a cover only): give a file with pictures")
    stream = streams[0]
    if stream.codec_context is None:
        raise UserError(f"no decoder for the video in {path}: convert it to H.264")
    stream.thread_type = "AUTO"
    return stream


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    seconds = _seconds(stream.duration, stream)
    if seconds is None and container.duration is not None:
        seconds = container.duration / av.time_base
    return seconds if seconds and seconds > 0 else None


def _seconds(ticks: int | None, stream: av.VideoStream) -> float | None:
    return None if ticks is None or stream.time_base is None else float(ticks * stream.time_base)


def _upright(picture: av.VideoFrame) -> np.ndarray:
    """RGB pixels, turned the way a player would show them (phones store portrait video lying down)."""
    pixels = picture.to_ndarray(format="rgb24")
    turns = round(picture.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
