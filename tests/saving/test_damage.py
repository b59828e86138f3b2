"""A thousand harmed files: an error that says so, no more memory than the file and the cap, and never a new answer."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

import pytest
import torch

from infinipot_v import Session
from infinipot_v.saving import SaveError, describe
from tests.saving.damaging import harmed
from tests.saving.memories import logits_of, opened, pictures

FILES = 1000
BATCH = 100
SLACK = 32 * 2**20
"""Bytes by which a process of this size may vary."""


@pytest.fixture(scope="module")
def original(loaded, tmp_path_factory):
    """A file with everything in it, its session, and the logits behind a question."""
    path = tmp_path_factory.mktemp("original") / "day.ivm.safetensors"
    session = opened(loaded("qwen2_5_vl"), reduce="near-duplicates", ring=2)
    session.watch(iter(pictures(25)))
    session.ask("What is it?")
    session.save(path, extra={"a": 1})
    return path, session, logits_of(session)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def said_or_loaded(load: Callable[[], Any]) -> Any:
    """What was loaded, or the error's words; any other error than ours is a failure."""
    try:
        return load()
    except SaveError as error:
        return str(error)


@pytest.mark.parametrize("first", range(0, FILES, BATCH))
def test_harmed_files(original, tmp_path, first):
    path, session, logits = original
    file, before = tmp_path / "harmed.ivm.safetensors", peak()
    refused = 0
    for number in range(first, first + BATCH):
        data, forged = harmed(path, number)
        if data == path.read_bytes():
            continue
        file.write_bytes(data)
        found = said_or_loaded(lambda: Session.load(file, session.model))
        if isinstance(found, str):
            refused += 1
            assert "\n" not in found and str(file) in found, f"number {number}"
            continue
        assert forged, f"number {number}: damage was not noticed"
        assert found.nbytes <= found.report().cap_bytes
        # Whoever makes the checksums fit may make another memory; numbers it holds are ours, and it is a whole one.
        found.cache.check_integrity()
        assert torch.isfinite(logits_of(found)).all() and logits_of(found).shape == logits.shape
    assert refused > BATCH // 2
    cap = session.report().cap_bytes
    assert peak() - before <= path.stat().st_size + 2 * cap + SLACK


@pytest.mark.parametrize("number", range(0, 60))
def test_looking_into_a_harmed_file_fails_as_clearly(original, tmp_path, number):
    path, _, _ = original
    data, forged = harmed(path, number)
    file = tmp_path / "harmed.ivm.safetensors"
    file.write_bytes(data)
    found = said_or_loaded(lambda: describe(file, check=True))
    assert "\n" not in found and str(file) in found if isinstance(found, str) else forged


@pytest.mark.parametrize("data", [b"", b"x", b"\xff" * 64, b"\x00" * 4096, b"PK\x03\x04", b"\x80\x04\x95."])
def test_files_that_are_something_else(loaded, tmp_path, data):
    file = tmp_path / "other.ivm.safetensors"
    file.write_bytes(data)
    with pytest.raises(SaveError, match="damaged, or no memory of ours"):
        Session.load(file, loaded("qwen2_vl"))
