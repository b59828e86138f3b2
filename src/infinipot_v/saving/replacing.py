"""Writing a file as a whole or not at all: beside its place, to the disk, and only then into its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from infinipot_v.saving.errors import SaveError

try:
    import fcntl
except ImportError:  # not on Windows: there, what a killed process has left is not cleared away
    fcntl = None  # type: ignore[assignment]

PART = ".part"


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the body ends well; what is there stays until then.

    At every moment there is the old file or the new one under the name, also when the process is killed or the power
    fails. A symbolic link is followed. Raises `SaveError` where nothing can be written, and leaves nothing behind.
    """
    target = writable(path)
    part = _part(target)
    try:
        _clear(target)
        with _created(part, target) as file:
            _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _refused(path: str | Path, error: OSError) -> SaveError:
    remedy = "free some space, or write elsewhere (the session, and what was there before, are untouched)"
    return SaveError(f"cannot save {path}: {error.strerror or error}; {remedy}")


def writable(path: str | Path) -> Path:
    """The file that a save would write, links followed. Raises `SaveError` where it would not take the place."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise SaveError(f"cannot save {path}: it is a folder; give a file in it, as in day.ivm.safetensors")
    if target.exists() and not target.is_file():
        raise SaveError(f"cannot save {path}: it is no ordinary file; give another path")
    if not target.parent.is_dir():
        raise SaveError(f"cannot save {path}: there is no folder {target.parent}; make it first")
    return target


def check_place(path: str | Path) -> None:
    """Raise `SaveError` unless a file could be made there now: long work asks before it begins."""
    target = writable(path)
    probe = _part(target)
    try:
        _created(probe, target).close()
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}{PART}")


def _created(part: Path, target: Path) -> BinaryIO:
    """A new file with the permissions of the one that it will replace."""
    part.unlink(missing_ok=True)
    file = os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666), "w+b")
    with suppress(OSError):
        part.chmod(stat.S_IMODE(target.stat().st_mode))
    return file


def _lock(file: BinaryIO) -> None:
    """Whoever clears away what killed processes left behind sees that this one lives."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _clear(target: Path) -> None:
    """Remove parts of this file whose writers are gone."""
    if fcntl is None:
        return
    for part in target.parent.glob(f".{_literal(target.name)}.*{PART}"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _literal(name: str) -> str:
    """A file's name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk, too. Some file systems cannot say so; the file itself is there."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
