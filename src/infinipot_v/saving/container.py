"""The container: a safetensors file whose metadata hold a header and a checksum of everything.

    metadata  "infinipot-v"  the header, JSON
              "checksums"    SHA-256 of every tensor's bytes, JSON
              "digest"       SHA-256 of the two, and of every tensor's name, dtype and shape
    tensors   any of safetensors' dtypes, so that slots of other kinds find place later

Written here a tensor at a time, so that saving takes one tensor's memory; read by the safetensors library, which maps
the file and takes nothing in it for code. Nothing is believed before its checksum is right.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from infinipot_v.saving.errors import SaveError
from infinipot_v.saving.replacing import replacing

KEY = "infinipot-v"
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_NO_SUM = "0" * 64

Table = dict[str, tuple[str, list[int]]]
"""Dtype and shape of every tensor."""


def write(path: str | Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int:
    """Write a container, whole or not at all (see `replacing`), and return its bytes. Raises `SaveError`."""
    text = json.dumps(header, allow_nan=False)
    with replacing(path) as file:
        file.write(_head(text, tensors, dict.fromkeys(tensors, _NO_SUM)))
        sums = {name: _copied(tensor, file) for name, tensor in tensors.items()}
        size = file.tell()
        file.seek(0)
        file.write(_head(text, tensors, sums))
    return size


def _head(text: str, tensors: Mapping[str, Tensor], sums: Mapping[str, str]) -> bytes:
    """The length and the JSON that a safetensors file begins with; as long for any checksums."""
    listed, offset = dict[str, Any](), 0
    for name, tensor in tensors.items():
        end = offset + tensor.numel() * tensor.element_size()
        listed[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    table = {name: (entry["dtype"], entry["shape"]) for name, entry in listed.items()}
    checksums = json.dumps(sums, sort_keys=True)
    metadata = {KEY: text, "checksums": checksums, "digest": _digest(text, checksums, table)}
    head = json.dumps({"__metadata__": metadata, **listed}).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head


def _copied(tensor: Tensor, file: BinaryIO) -> str:
    """Write a tensor's bytes; returns their checksum."""
    data = _bytes(tensor)
    file.write(data)
    return hashlib.sha256(data).hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def _digest(text: str, checksums: str, table: Table) -> str:
    parts = [text, checksums, json.dumps(sorted(table.items()))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Container:
    """An open container. `header` is JSON whose checksum was right; `table` names the tensors."""

    def __init__(self, path: str | Path, file: Any) -> None:
        self.path, self._file = path, file
        self.table: Table = {name: _entry(file, name) for name in file.keys()}  # noqa: SIM118 - no dictionary
        metadata = file.metadata() or {}
        if KEY not in metadata:
            raise SaveError(f"{path} is a safetensors file, but no memory of ours: save one with Session.save")
        checksums = metadata.get("checksums", "")
        if _digest(metadata[KEY], checksums, self.table) != metadata.get("digest"):
            raise SaveError(f"{path} is damaged: its header's checksum is wrong; take an older copy")
        self.header: Any = json.loads(metadata[KEY])
        self._sums: Any = json.loads(checksums)

    def tensor(self, name: str) -> Tensor:
        """A tensor on the CPU. Raises `SaveError` when it is missing or its checksum is wrong."""
        if name not in self.table:
            raise SaveError(f"{self.path} is damaged: {name} is missing; take an older copy")
        tensor: Tensor = self._file.get_tensor(name)
        if hashlib.sha256(_bytes(tensor)).hexdigest() != self._sums.get(name):
            raise SaveError(f"{self.path} is damaged: the checksum of {name} is wrong; take an older copy")
        return tensor

    def bytes_of(self, name: str) -> int:
        """Bytes of a tensor."""
        dtype, shape = self.table[name]
        size = next(kind.itemsize for kind, known in DTYPES.items() if known == dtype)
        return int(torch.Size(shape).numel()) * size


def _entry(file: Any, name: str) -> tuple[str, list[int]]:
    entry = file.get_slice(name)
    return str(entry.get_dtype()), list(entry.get_shape())


@contextmanager
def opened(path: str | Path) -> Iterator[Container]:
    """Open a container for reading. Raises `SaveError` for a file that is none, is damaged, or cannot be read."""
    if not Path(path).is_file():
        raise SaveError(f"cannot open {path}: there is no such file; check the path")
    try:
        with safe_open(str(path), framework="pt") as file:
            yield Container(path, file)
    except (SafetensorError, ValueError, RecursionError, KeyError, TypeError) as error:
        if isinstance(error, SaveError) and str(path) in str(error):
            raise
        raise SaveError(f"{path} is damaged, or no memory of ours: {_line(error)}; take an older copy") from error
    except OSError as error:
        raise SaveError(f"cannot open {path}: {error.strerror or error}; check the path and the disk") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
