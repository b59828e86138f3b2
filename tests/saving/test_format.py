"""Files of every format so far are read: each was made by the release of its time, and lies here as it was."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from infinipot_v import Session
from infinipot_v.saving import SaveError, describe
from infinipot_v.saving.container import KEY, _digest
from infinipot_v.saving.memory import FORMAT
from tests.saving.damaging import joined, parts
from tests.saving.make_format import FAMILY, FRAMES, QUESTION, frames_of, session_of

DATA = Path(__file__).parent / "data"


def of(number: int) -> Path:
    return DATA / f"memory-{number}.ivm.safetensors"


def test_there_is_one_of_every_format():
    assert sorted(DATA.iterdir()) == [of(number) for number in range(1, FORMAT + 1)]


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_an_old_file_can_be_opened(loaded, number):
    contents = describe(of(number), check=True)
    assert contents.format == number and contents.report.frames == FRAMES and contents.turns == 1
    session = Session.load(of(number), loaded(FAMILY))
    fresh = session_of(number, loaded(FAMILY))
    fresh.watch(iter(frames_of(number, FRAMES)))
    assert session.report().held_tokens == fresh.report().held_tokens
    assert fresh.ask(QUESTION).text == contents.extra["answer"]
    assert session.ask("And now?").text == fresh.ask("And now?").text
    session.watch(iter(frames_of(number, FRAMES + 9)[FRAMES:]))
    assert session.report().frames == FRAMES + 9


def test_a_newer_format_says_to_upgrade(tmp_path):
    head, body = parts(of(FORMAT).read_bytes())
    metadata = head["__metadata__"]
    header = {**json.loads(metadata[KEY]), "format": FORMAT + 1, "version": "9.1"}
    table = {name: (entry["dtype"], entry["shape"]) for name, entry in head.items() if name != "__metadata__"}
    metadata[KEY] = json.dumps(header)
    metadata["digest"] = _digest(metadata[KEY], metadata["checksums"], table)
    newer = tmp_path / "newer.ivm.safetensors"
    newer.write_bytes(joined(head, body))
    with pytest.raises(SaveError, match=r"made by infinipot-v 9.1, in a newer format .* upgrade infinipot-v"):
        describe(newer)


def test_any_reader_of_safetensors_opens_it():
    from safetensors import safe_open

    with safe_open(str(of(FORMAT)), framework="np") as file:
        names = set(file.keys())
        assert json.loads(file.metadata()[KEY])["format"] == FORMAT
    assert any(name.endswith("keys") for name in names) and struct.calcsize("<Q") == 8
