"""Where frames come from. No torch here; PyAV is imported when a file is opened, so that arrays need none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infinipot_v.sources.file import VideoFile

__all__ = ["open_source"]


def open_source(path: str | Path, fps: float = 1.0, start: float | None = None, end: float | None = None) -> VideoFile:
    """Open a video file; see `infinipot_v.sources.file.open_source`, which says what is sampled and what is raised."""
    from infinipot_v.sources import file

    return file.open_source(path, fps=fps, start=start, end=end)
