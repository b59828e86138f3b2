"""Weights by their headers: whole, torn, missing, in shards, and none at all. Nothing but headers is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.survey.headers import look_at_weights


@pytest.fixture
def folder(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy"))


def look(folder: Path):
    return look_at_weights(CheckpointFiles.of(folder))


def in_shards(folder: Path) -> list[str]:
    """Split the weights in two files, with an index."""
    weights = load_file(folder / "model.safetensors")
    names, files = sorted(weights), ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    for file, half in zip(files, halves, strict=True):
        save_file({name: weights[name] for name in half}, folder / file)
    index = {name: file for file, half in zip(files, halves, strict=True) for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / "model.safetensors").unlink()
    return list(files)


def test_whole_weights(folder):
    weights = load_file(folder / "model.safetensors")
    found = look(folder)
    assert found.problem is None and found.here
    assert found.bytes == (folder / "model.safetensors").stat().st_size
    assert (found.tensors, found.numbers) == (len(weights), sum(tensor.numel() for tensor in weights.values()))


def test_shards_count_together_and_a_missing_one_is_named(folder):
    whole = look(folder)
    files = in_shards(folder)
    found = look(folder)
    assert (found.tensors, found.numbers, found.problem) == (whole.tensors, whole.numbers, None)
    (folder / files[1]).unlink()
    assert f"1 of 2 files of weights are missing ({files[1]}" in str(look(folder).problem)


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_torn_and_empty_files_are_named(folder, length):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    problem = str(look(folder).problem)
    assert "model.safetensors" in problem and ("torn" in problem) == (length == -1)
    assert "\n" not in problem


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"a": 5}', b'{"a": {"shape": [2], "data_offsets": []}}'])
def test_a_header_that_is_none_is_named(folder, header):
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "no safetensors file" in str(look(folder).problem)


@pytest.mark.parametrize("index", ["", "{", "[]", '{"weight_map": 5}', '{"weight_map": {"a": 5}}'])
def test_a_damaged_index_is_no_weights(folder, index):
    in_shards(folder)
    (folder / "model.safetensors.index.json").write_text(index)
    assert look(folder).problem is not None


def test_nothing_but_the_header_is_read(folder):
    """A sparse file of 200 GB: its header is looked at, its numbers are not there."""
    size = 2 * 10**11
    header = json.dumps({"w": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    found = look(folder)
    assert (found.bytes, found.numbers, found.problem) == (8 + len(header) + size, size // 2, None)


def test_weights_on_the_hub_are_not_downloaded(monkeypatch, checkpoint, tmp_path):
    from infinipot_v.models.hub import Files
    from infinipot_v.survey import headers

    files = CheckpointFiles("owner/name", Files("owner/name"))
    index = {"metadata": {"total_size": 12345}}
    monkeypatch.setattr(Files, "path", lambda self, file: None)
    monkeypatch.setattr(Files, "json", lambda self, file: index if file.endswith("index.json") else None)
    found = headers.look_at_weights(files)
    assert (found.bytes, found.here, found.problem) == (12345, False, None)
    away = CheckpointFiles("owner/name", Files("owner/name", trouble="the hub cannot be reached"))
    assert "the hub cannot be reached" in str(headers.look_at_weights(away).problem)


def test_tensors_of_other_types_count(tmp_path, checkpoint):
    folder = Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "typed"))
    save_file({"a": torch.zeros(3, 4, dtype=torch.uint8), "b": torch.zeros(())}, folder / "model.safetensors")
    found = look(folder)
    assert (found.tensors, found.numbers, found.problem) == (2, 13, None)
