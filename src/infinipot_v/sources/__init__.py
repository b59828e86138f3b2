"""Where frames come from. A source is an iterator of `Frame` in ascending time, and a context manager. No torch."""

from __future__ import annotations

from infinipot_v.sources.file import VideoFile, open_source
from infinipot_v.sources.frames import as_frames

__all__ = ["VideoFile", "as_frames", "open_source"]
