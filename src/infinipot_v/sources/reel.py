"""A video file as it is read: packets, pictures, timestamps, pixels. What containers do differently ends here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import ExitError, FFmpegError

from infinipot_v.sources.container import length, open_container, seconds, video_stream
from infinipot_v.sources.damage import Damage
from infinipot_v.sources.orientation import upright
from infinipot_v.sources.times import Rhythm

UNKNOWN_RATE = 25.0
"""Frames a second of a stream that says neither its rate nor its timestamps."""
SLOWEST, FASTEST = 1 / 86400, 1000.0
"""A rate outside is a damaged header's."""
MOST_FAILURES = 100
"""Reads in a row that may fail before a file is given up."""
INDEXED = {"mov", "matroska"}
"""Containers that find a key frame by an index. Others would search for it, and may miss it."""


class Reel:
    """The first video stream of a file, from its beginning or from where `seek` went. Counts into `damage`.

    `zero`: the stream's first timestamp (None: that of the first frame). `gap`: the usual interval of frames.
    `duration`: what the header says. All in seconds. Raises `UserError` for what is no video.
    """

    def __init__(self, path: Path, damage: Damage) -> None:
        self._damage = damage
        self._container = open_container(path)
        try:
            self._stream = video_stream(self._container, path)
            self._formats = set(self._container.format.name.split(","))
            rate = float(self._stream.average_rate or 0)
            self.gap = 1 / (rate if SLOWEST <= rate <= FASTEST else UNKNOWN_RATE)
            self.zero = seconds(self._stream.start_time, self._stream) if INDEXED & self._formats else None
            self.duration, self._exact = length(self._container, self._stream)
        except BaseException:
            self._container.close()
            raise
        self._shown: tuple[int, np.ndarray | None] | None = None
        self._read, self._announced = 0, self._stream.frames if "mov" in self._formats else 0

    def close(self) -> None:
        self._container.close()

    def seek(self, time: float) -> bool:
        """To a key frame before the timestamp; False where that cannot be relied on."""
        if not INDEXED & self._formats or not self._stream.time_base:
            return False
        with suppress(FFmpegError):
            self._container.seek(int(time / self._stream.time_base), stream=self._stream)
            self._announced = 0
            return True
        return False

    def pictures(self) -> Iterator[tuple[av.VideoFrame, float | None]]:
        """Decoded pictures in the order they are shown, and their timestamps in seconds."""
        torn = flawed = 0  # what the container, and what the decoder calls corrupt: mostly the same
        for packet in self._packets():
            try:
                decoded = self._stream.codec_context.decode(packet)
            except FFmpegError:
                self._damage.lost += 1
                continue
            torn += packet is not None and packet.is_corrupt
            for picture in decoded:
                flawed += picture.is_corrupt
                self._damage.harmed = max(torn, flawed)
                yield picture, seconds(self._stamp(picture), self._stream)  # `time` lacks its unit at the end

    def stands(self, picture: av.VideoFrame) -> float:
        """For how many seconds a picture is shown, as the file says; 0 if it does not."""
        return max(0.0, seconds(picture.duration, self._stream) or 0.0)

    def pixels(self, picture: av.VideoFrame) -> np.ndarray | None:
        """RGB, upright, what is transparent on black: uint8 `[height, width, 3]`; None if it cannot be converted."""
        try:
            return upright(_rgb(picture), self._matrix(picture))
        except (FFmpegError, ValueError):
            self._damage.lost += 1
            return None

    def note_the_end(self, ends: float, rhythm: Rhythm) -> None:
        """Once all was read, and the last frame ended at `ends` seconds: count what is missing without a trace."""
        if "matroska" in self._formats:  # which passes over what it cannot read in silence
            self._damage.missing = max(0, rhythm.missing - self._damage.lost)
        short = 0.0 if self.duration is None else self.duration - ends
        if self._announced > self._read and short > 0.5 * self.gap:
            self._damage.missing = self._announced - self._read
        if self.duration is not None and short > self._slack(rhythm):
            self._damage.ended = (ends, self.duration)

    def _slack(self, rhythm: Rhythm) -> float:
        """How far a sound stream may end before its `duration`: the last frame may stand for longer than it says."""
        if not self._exact:
            return 2.0
        return 1.5 * self.gap if rhythm.constant else max(0.5, 2.5 * self.gap)

    def _packets(self) -> Iterator[av.Packet[Any] | None]:
        """Up to the end of the file; what cannot be read is passed over. Then None, which empties the decoder."""
        failures = 0
        while failures < MOST_FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.size:
                        failures, self._read = 0, self._read + 1
                        yield packet
                break
            except IndexError:  # PyAV stumbles behind the last packet if a stream was added in the middle of a file
                break
            except FFmpegError as error:
                self._damage.lost += not failures
                failures += MOST_FAILURES if isinstance(error, ExitError) else 1  # a read that took too long is enough
        yield None

    def _matrix(self, picture: av.VideoFrame) -> np.ndarray | None:
        """The display matrix, read anew when the turn changes: a frame that is asked for it outlives its use in PyAV,
        until Python looks for cycles, and a few hundred of them fill a memory.
        """
        if self._shown is None or self._shown[0] != picture.rotation:
            self._shown = (picture.rotation, _display_matrix(picture))
        return self._shown[1]

    def _stamp(self, picture: av.VideoFrame) -> int | None:
        """AVI knows when a frame is decoded, not when it is shown; what is made up for that is out of order."""
        return picture.dts if "avi" in self._formats else picture.pts


def _rgb(picture: av.VideoFrame) -> np.ndarray:
    if not any(component.is_alpha for component in picture.format.components):
        return picture.to_ndarray(format="rgb24")
    pixels = picture.to_ndarray(format="rgba").astype(np.uint16)
    return ((pixels[..., :3] * pixels[..., 3:] + 127) // 255).astype(np.uint8)


def _display_matrix(picture: av.VideoFrame) -> np.ndarray | None:
    """The 2 x 2 part that turns and mirrors, a row where x goes, and one where y goes; None if there is none."""
    try:
        stored: Any = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV gives up on a frame with side data of a kind that it does not know (EXIF, in av 18)
        turn = math.radians(picture.rotation)
        return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return None if stored is None else np.frombuffer(stored, dtype=np.int32)[[0, 1, 3, 4]].reshape(2, 2)
