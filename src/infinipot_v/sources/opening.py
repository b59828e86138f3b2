"""Which kind of source a path is, and what may not be opened at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from infinipot_v.sources.ahead import Ahead
from infinipot_v.sources.chain import Chain, Part
from infinipot_v.sources.source import Source, Span
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.sources.captions import Cue

Pathlike: TypeAlias = str | os.PathLike[str]
RAW_JPEGS = {".mjpeg", ".mjpg"}
"""Videos that look like an image: JPEGs end to end."""


def open_any(
    path: Pathlike | Sequence[Pathlike],
    fps: float = 1.0,
    start: float | None = None,
    end: float | None = None,
    subtitles: Pathlike | None = None,
    ahead: int = 0,
) -> Source:
    """See `infinipot_v.sources.open_source`."""
    if not isinstance(ahead, int) or ahead < 0:
        raise UserError(f"ahead is {ahead!r}: give a number of frames, 0 for no thread")
    span, cues = Span(fps, start, end), _cues(subtitles, path)
    source = _opened(path, span)
    if cues is not None:
        source = _captioned(source, cues, span)
    return Ahead(source, ahead) if ahead else source


def _opened(path: Pathlike | Sequence[Pathlike], span: Span) -> Source:
    if isinstance(path, list | tuple):
        source: Source = _chain([_path(one) for one in path], span)
    else:
        source = open_one(_path(path), span)
    if span.start and source.duration is not None and span.start >= source.duration:
        source.close()
        what = "the stream" if isinstance(source, Chain) else path
        raise UserError(f"start is {span.start:g} s, but {what} ends at {source.duration:.1f} s: start earlier")
    return source


def _cues(subtitles: Pathlike | None, path: Pathlike | Sequence[Pathlike]) -> list[Cue] | None:
    if subtitles is None:
        return None
    if isinstance(path, list | tuple) and len(path) != 1:
        raise UserError("subtitles go with a single video: watch the others after it, each with its own")
    from infinipot_v.sources.cues import read_cues

    found = _path(subtitles)
    if _is_folder(found):
        raise UserError(f"{found} is a folder: give a file of subtitles (.srt, .vtt, .ass)")
    return read_cues(found)


def _captioned(source: Source, cues: Sequence[Cue], span: Span) -> Source:
    from infinipot_v.sources.captions import Captioned

    # Where an end is asked for, more may follow one day: the last frame says what it would have said then.
    return Captioned(source, cues) if span.end is None else Captioned(source, cues, stands=1 / span.fps)


def open_one(path: Path, span: Span) -> Part:
    """The source of one path. What a file is, its content tells."""
    from infinipot_v.sources.images import ImageFiles, images_in
    from infinipot_v.sources.picture import is_picture

    if _is_folder(path):
        return ImageFiles(path, images_in(path), span)
    if is_picture(path) and path.suffix.lower() not in RAW_JPEGS:
        return ImageFiles(path, [path], span)
    from infinipot_v.sources.file import VideoFile

    return VideoFile(path, span)


def _chain(paths: Sequence[Path], span: Span) -> Chain:
    if not paths:
        raise UserError("no path is given: name at least one video, folder of images, or image")
    return Chain(paths, span, open_one)


def _path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        what = repr(path) if isinstance(path, str) else f"a {type(path).__name__}"
        raise UserError(
            f"cannot open {what}: give a path or a list of paths; watch() takes frames and arrays as they are"
        )
    return Path(path)


def _is_folder(path: Path) -> bool:
    """Raises `UserError` for what is missing, empty, or neither a file nor a folder (reading that may never end)."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"no such file: {path}; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path!s:.80} cannot be opened ({reason}); check the path") from error
    if stat.S_ISDIR(status.st_mode):
        return True
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is a device or a pipe: give a file; save what comes out of a pipe first")
    if status.st_size == 0:
        raise UserError(f"{path} is empty (0 bytes): copy or download it again")
    return False
