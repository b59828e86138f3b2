"""Image files as a stream: consecutive frames, one every `1 / fps` seconds."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Generator, Sequence
from pathlib import Path

from infinipot_v.sources.picture import SUFFIXES, read_picture
from infinipot_v.sources.source import OneFile, Span
from infinipot_v.sources.times import TOLERANCE
from infinipot_v.types import Frame, UserError


class ImageFiles(OneFile):
    """A `Source`: image k is the frame at `k / fps` seconds, if that lies in the range.

    One that cannot be read is left out and counted; its place in time stays empty.
    """

    def __init__(self, path: Path, files: Sequence[Path], span: Span) -> None:
        super().__init__(path, span)
        self._files = files
        self.duration: float | None = len(files) / span.fps

    @property
    def expected_frames(self) -> int | None:
        """How many frames will come if all images can be read."""
        return len(self._asked_for())

    def _asked_for(self) -> range:
        """The numbers of the images in the range; a thousandth of an image is no difference."""
        end = len(self._files) if self.span.end is None else self._first_at(self.span.end)
        return range(self._first_at(self.span.begin), min(end, len(self._files)))

    def _first_at(self, seconds: float) -> int:
        return math.ceil(seconds * self.span.fps - TOLERANCE)

    def _give(self) -> Generator[Frame, None, None]:
        given, reason = 0, ""
        for index in self._asked_for():
            try:
                pixels = read_picture(self._files[index])
            except UserError as error:
                self._harm.lost += 1
                reason = reason or (str(error) if len(self._files) == 1 else f"{self._files[index].name}: {error}")
                continue
            given += 1
            yield Frame(pixels, index / self.span.fps)
        self.ends = self.duration
        if not given:
            raise UserError(self._nothing(reason))

    def _nothing(self, reason: str) -> str:
        if not reason:
            return f"{self.path} has no image {self.span}: it ends at {self.duration:g} s"
        if len(self._files) == 1:
            return f"the image {self.path} cannot be read ({reason}): copy or save it again"
        return f"none of the images in {self.path} can be read ({reason}): copy or save them again"


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder (not of folders in it, none that are hidden), in natural order: frame2, frame10.

    Told by their names' endings. Raises `UserError` where there are none or the folder may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            files = [Path(entry.path) for entry in entries if _is_image_name(entry.name) and entry.is_file()]
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read ({error.strerror}): change its permissions") from error
    if not files:
        raise UserError(f"no images in the folder {folder}: give one with .jpg, .png, ... in it, or a video file")
    return sorted(files, key=natural)


def natural(path: Path) -> tuple[list[str | int], str]:
    """A key that sorts the numbers in names by value; where that makes no difference, the name itself decides."""
    pieces = re.split("([0-9]+)", path.name.casefold())  # text and numbers take turns
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], path.name


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
