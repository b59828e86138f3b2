"""Saving on the way: what a killed process loses is no more than an interval."""

from __future__ import annotations

import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from infinipot_v.saving.errors import SaveError
from infinipot_v.saving.replacing import writable
from infinipot_v.types import Frame, UserError

SUFFIX = ".ivm.safetensors"
Extra = Callable[[], Mapping[str, object]]


class Saved(Protocol):
    """What is saved on the way: a `Session`."""

    @property
    def newest(self) -> float:
        """See `Session.newest`."""

    def save(self, path: str | Path, *, extra: Mapping[str, object] | None = None) -> int:
        """See `Session.save`."""


class Autosave:
    """Saves `session` to `path` while it watches: `session.watch(autosave.over(frames))`.

    It does so every `seconds` of the clock, or every `frames` frames, whichever comes first; None: not by this one.
    A process that is killed loses what it has watched since, and the steps that were just being encoded together
    (`block`). Of older saves `keep - 1` stay, as `day.1.ivm.safetensors` (the newest of them), `day.2...` and so on.
    `extra` is asked at every save for what goes into the file beside the memory (see `Session.save`). Raises
    `UserError` for intervals that are none, and `SaveError` where nothing could be saved.
    """

    def __init__(
        self,
        session: Saved,
        path: str | Path,
        *,
        seconds: float | None = 60.0,
        frames: int | None = None,
        keep: int = 1,
        extra: Extra = dict,
    ) -> None:
        if (seconds is not None and not seconds > 0) or (frames is not None and frames < 1):
            raise UserError("an autosave needs an interval above 0 seconds, or of at least one frame")
        if not isinstance(keep, int) or not isinstance(frames, int | None):
            raise UserError("keep and frames are whole numbers")
        if keep < 1:
            raise UserError(f"keep={keep} saves would leave no file: keep at least 1")
        self._session, self._path, self._extra = session, writable(path), extra
        self._seconds, self._frames, self._keep = seconds, frames, keep
        self._began()

    def over(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames; between two of them the memory is saved when it is time.

        A save that fails is a warning: the watching goes on, the file of before stays, and the next interval tries
        again.
        """
        for frame in frames:
            yield frame
            self._since += 1
            if self._due() and math.isfinite(self._session.newest):  # before the first step there is nothing
                try:
                    self.save()
                except SaveError as error:
                    self._began()
                    warnings.warn(f"the memory was not saved at {self._session.newest:g} s: {error}", stacklevel=2)

    def save(self) -> int:
        """Save now, and return the file's bytes. Raises `SaveError`; the files of before are then as they were."""
        with _aside(self._path, self._keep):
            size = self._session.save(self._path, extra=self._extra())
        self._began()
        return size

    def _began(self) -> None:
        self._since, self._last = 0, time.monotonic()

    def _due(self) -> bool:
        by_clock = self._seconds is not None and time.monotonic() - self._last >= self._seconds
        return by_clock or (self._frames is not None and self._since >= self._frames)


def older(path: Path, number: int) -> Path:
    """Where the save lies that was made `number` saves before the one at `path`."""
    name, ending = (path.name.removesuffix(SUFFIX), SUFFIX) if path.name.endswith(SUFFIX) else (path.stem, path.suffix)
    return path.with_name(f"{name}.{number}{ending}")


@contextmanager
def _aside(path: Path, keep: int) -> Iterator[None]:
    """Where the body saves to `path`, what lay there becomes the newest of the older saves; if it fails, nothing moves.

    The name of `path` is never without its file: what lies there gets a second name (where the file system has no
    links, a copy).
    """
    aside = path.with_name(f".{path.name}.before")
    keeping = keep > 1 and path.exists()
    try:
        if keeping:
            _linked(path, aside)
        yield
        if keeping:
            for number in range(keep - 1, 1, -1):
                with suppress(FileNotFoundError):
                    older(path, number - 1).replace(older(path, number))
            aside.replace(older(path, 1))
    except OSError as error:
        raise SaveError(f"cannot keep the save before {path}: {error.strerror or error}; keep fewer") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _linked(path: Path, aside: Path) -> None:
    aside.unlink(missing_ok=True)
    try:
        os.link(path, aside)
    except OSError:
        shutil.copyfile(path, aside)
