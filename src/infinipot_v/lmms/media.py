"""What a task of lmms-eval shows: a video, a part of one, or pictures; and the same shown twice is known again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from infinipot_v.evaluate.field.footage import Clip
from infinipot_v.types import Frame, UserError

FRAGMENT = re.compile(r"#t=(\d+(?:\.\d+)?)?(?:,(\d+(?:\.\d+)?))?$")
"""A part of a video, as the W3C's media fragments write it: `film.mp4#t=10,20`, in seconds."""


@dataclass(frozen=True)
class Media:
    """The video at `path` from `begin` to `end` seconds, or `pictures`. Of one `key`, more is only a later end."""

    key: str
    path: str | None = None
    begin: float | None = None
    end: float | None = None
    pictures: tuple[Any, ...] = ()

    @classmethod
    def of(cls, visuals: Sequence[Any] | None) -> Media:
        """What a task's `doc_to_visual` gave. Raises `UserError` for what is no video and no picture."""
        shown = tuple(visuals or ())
        if len(shown) == 1 and isinstance(shown[0], str | Path):
            path, begin, end = _parsed(str(shown[0]))
            return cls(f"{path}#{begin}", path, begin, end)
        if shown and all(hasattr(picture, "convert") for picture in shown):
            content = hashlib.sha256()
            for picture in shown:
                content.update(f"{picture.mode} {picture.size} ".encode() + picture.tobytes())
            return cls(content.hexdigest(), pictures=shown)
        kinds = ", ".join(sorted({type(one).__name__ for one in shown})) or "nothing"
        raise UserError(f"infinipot_v watches one video, or pictures: this task shows {len(shown)} of {kinds}")

    @contextmanager
    def frames(self, fps: float, most: int | None) -> Iterator[Iterator[Frame]]:
        """All its frames, whatever `end`; at most `most`, evenly spread. Pictures come a second apart."""
        if self.path is None:
            yield (Frame(np.asarray(one.convert("RGB")), float(second)) for second, one in enumerate(self.pictures))
            return
        clip = Clip(self.path, Path(self.path), self.begin)
        # Of a video that is watched up to a time the rate is what was asked for: nobody knows its end.
        whole = most is not None and self.end is None
        rate = min(fps, most / clip.seconds()) if whole and most is not None else fps
        with replace(clip, rate=rate).frames() as (frames, _):
            yield frames


def _parsed(text: str) -> tuple[str, float | None, float | None]:
    match = FRAGMENT.search(text)
    if match is None:
        return text, None, None
    begin, end = (float(part) if part else None for part in match.groups())
    return text[: match.start()], begin or None, end
