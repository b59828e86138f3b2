"""Progress on standard error: time watched, frames a second, tokens held of the budget. Nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infinipot_v.session import Session
    from infinipot_v.sources.file import VideoFile
    from infinipot_v.types import Frame


@contextmanager
def watching(source: VideoFile, session: Session) -> Iterator[Iterator[Frame]]:
    """Yield the source's frames; while they are consumed, a bar moves if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield iter(source)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=18),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("watching", total=source.expected_frames, state="")
        began = time.perf_counter()

        def moving() -> Iterator[Frame]:
            for count, frame in enumerate(source, 1):
                yield frame
                rate = count / (time.perf_counter() - began)
                held, cap = session.cache.held_tokens, session.cache.tokens
                progress.update(
                    task, completed=count, state=f"{frame.seconds:.0f} s  {rate:.1f} frames/s  {held}/{cap} tokens"
                )

        yield moving()
