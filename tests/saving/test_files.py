"""Where a memory cannot be saved: a clear error, what was there stays, nothing is left behind, the session goes on."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infinipot_v import Session
from infinipot_v.saving import SaveError, describe
from tests.saving.memories import alike, differences, opened, pictures


@pytest.fixture
def session(loaded) -> Session:
    session = opened(loaded("qwen2_vl"))
    session.watch(iter(pictures(31)))
    return session


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of 256 KiB; skips where none may be mounted."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def refused(session: Session, path: Path, words: str, before: bytes | None) -> None:
    """Saving fails with these words; file, folder and session are as they were, and the session watches on."""
    names = sorted(os.listdir(path.parent)) if path.parent.is_dir() else None
    state = opened(session.model)
    state.restore(session.state())
    with pytest.raises(SaveError, match=words):
        session.save(path)
    assert names is None or sorted(os.listdir(path.parent)) == names
    assert before is None or path.read_bytes() == before
    assert alike([session, state])
    more = pictures(80)[session.report().frames :][:9]
    for one in (session, state):
        one.watch(iter(more))
    assert alike([session, state])


def test_a_full_disk(session, tmp_path):
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        path = disk / "day.ivm.safetensors"
        size = session.save(path)
        (disk / "other").write_bytes(bytes(2**20 - size - size // 2))
        refused(session, path, "No space left.*free some space", path.read_bytes())


def test_a_limit_on_files(session, tmp_path):
    path = tmp_path / "day.ivm.safetensors"
    size = session.save(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        refused(session, path, "File too large", path.read_bytes())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_may_only_be_read(session, tmp_path):
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        path = disk / "day.ivm.safetensors"
        session.save(path)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused(session, path, "Read-only file system", path.read_bytes())


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission(session, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    refused(session, folder / "day.ivm.safetensors", "Permission denied", None)


def test_paths_that_are_no_files(session, tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    refused(session, tmp_path / "folder", "it is a folder", None)
    refused(session, tmp_path / "nowhere" / "day.ivm.safetensors", "there is no folder .*make it first", None)
    with pytest.raises(SaveError, match="no ordinary file"):
        session.save(tmp_path / "pipe")


def test_links_are_followed_and_permissions_kept(session, tmp_path):
    path, link = tmp_path / "day.ivm.safetensors", tmp_path / "link"
    session.save(path)
    path.chmod(0o640)
    link.symlink_to(path)
    session.watch(iter(pictures(40)[31:]))
    session.save(link)
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert not differences(session, Session.load(path, session.model))


def test_what_a_killed_writer_left_is_cleared_away(session, tmp_path):
    path = tmp_path / "day.ivm.safetensors"
    left, others = tmp_path / f".{path.name}.999999.part", tmp_path / ".else.ivm.safetensors.999999.part"
    left.write_bytes(b"half")
    others.write_bytes(b"half")
    session.save(path)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, others.name])


def test_extra_that_is_no_json(session, tmp_path):
    path = tmp_path / "day.ivm.safetensors"
    with pytest.raises(SaveError, match="no JSON"):
        session.save(path, extra={"x": object()})
    assert not os.listdir(tmp_path)
    session.save(path, extra={"x": [1, "two"]})
    assert describe(path, check=True).extra == {"x": [1, "two"]}
