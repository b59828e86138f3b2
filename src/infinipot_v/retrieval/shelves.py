"""Where one layer's keys and values are kept for good, step by step: in host memory, or in a file on disk.

A shelf only ever grows at its end, and is cut back there when a step fails. It knows no device and no model.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from infinipot_v.cache.slots import Shape
from infinipot_v.retrieval.stretch import Stretch
from infinipot_v.types import UserError

MEMORY = "memory"
"""The `where` of host memory; anything else is a folder."""
HOST = torch.device("cpu")


class Shelf(Protocol):
    """Blocks of one layer, numbered in the order in which they came."""

    def put(self, block: Stretch) -> None: ...
    def get(self, index: int) -> Stretch: ...
    def cut(self, blocks: int) -> None: ...
    def close(self) -> None: ...
    @property
    def nbytes(self) -> int: ...


class MemoryShelf:
    """Blocks in host memory. What `get` returns is the block itself, not a copy."""

    def __init__(self) -> None:
        self._blocks: list[Stretch] = []

    def put(self, block: Stretch) -> None:
        """Keep a copy of a block."""
        self._blocks.append(block.copy_to(HOST))

    def get(self, index: int) -> Stretch:
        """The block number `index`."""
        return self._blocks[index]

    def cut(self, blocks: int) -> None:
        """Forget all but the first `blocks`."""
        del self._blocks[blocks:]

    def close(self) -> None:
        """Forget everything."""
        self.cut(0)

    @property
    def nbytes(self) -> int:
        """Bytes of host memory."""
        return sum(block.nbytes for block in self._blocks)


class DiskShelf:
    """Blocks in one file, keys before values in each, read through a memory map: bit for bit what was put there."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self._shape = shape
        self._ends = [0]
        self._file = path.open("xb+", buffering=0)
        self._map: mmap.mmap | None = None

    def put(self, block: Stretch) -> None:
        """Append a block. Raises `UserError` when the disk does not take it; the file may then end in a part of it."""
        try:
            self._file.seek(self.nbytes)
            for tensor in block.copy_to(HOST).tensors():
                left = _raw(tensor).data
                while left:
                    left = left[self._file.write(left) :]
        except OSError as error:
            raise UserError(
                f"{self._file.name} takes no more ({error.strerror}): choose a folder with more space, or 'memory'"
            ) from error
        self._ends.append(self._ends[-1] + block.tokens)

    def get(self, index: int) -> Stretch:
        """A copy of the block number `index`, in host memory."""
        first, last = self._ends[index : index + 2]
        at, block = self._shape.token_bytes * first, Stretch.empty(self._shape, last - first, HOST)
        for tensor in block.tensors():
            _raw(tensor)[:] = np.frombuffer(self._mapped(), np.uint8, tensor.nbytes, at)
            at += tensor.nbytes
        return block

    def cut(self, blocks: int) -> None:
        """Forget all but the first `blocks`, and what a failed `put` has left."""
        del self._ends[blocks + 1 :]
        self._map = None
        self._file.truncate(self.nbytes)

    def close(self) -> None:
        """Close the file; whoever made its folder removes it."""
        self._map = None
        self._file.close()

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return self._shape.token_bytes * self._ends[-1]

    def _mapped(self) -> mmap.mmap:
        """The file as memory; mapped anew when it has grown."""
        if self._map is None or len(self._map) != self.nbytes:
            self._map = mmap.mmap(self._file.fileno(), self.nbytes, access=mmap.ACCESS_READ)
        return self._map


class Shelves:
    """One shelf a layer. `where` is `memory` or a folder, in which a folder of our own is made and removed again.

    The folder goes when the shelves are closed or dropped, and when the process ends; a killed process leaves it.
    Raises `UserError` for a folder that cannot be used.
    """

    def __init__(self, where: str | Path, shapes: Sequence[Shape]) -> None:
        self.folder = None if str(where) == MEMORY else _new_folder(Path(where))
        self.layers: list[Shelf] = [self._shelf(index, shape) for index, shape in enumerate(shapes)]
        self._remove = weakref.finalize(self, _removed, self.folder, list(self.layers))

    def _shelf(self, index: int, shape: Shape) -> Shelf:
        return MemoryShelf() if self.folder is None else DiskShelf(self.folder / f"layer-{index:03d}.kv", shape)

    @property
    def nbytes(self) -> int:
        """Bytes kept, all layers together."""
        return sum(shelf.nbytes for shelf in self.layers)

    def close(self) -> None:
        """Forget everything and remove the files. May be called again."""
        self._remove()


def _removed(folder: Path | None, layers: Sequence[Shelf]) -> None:
    for shelf in layers:
        shelf.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder(where: Path) -> Path:
    if not where.is_dir():
        raise UserError(f"no folder {where} to keep keys and values in: make it, or choose where='memory'")
    try:
        return Path(tempfile.mkdtemp(prefix="infinipot-v-rekv-", dir=where))
    except OSError as error:
        raise UserError(f"{where} cannot be written to ({os.strerror(error.errno or 0)}): choose another") from error


def _raw(tensor: Tensor) -> np.ndarray:
    """The bytes of a contiguous tensor in host memory, as one line; numpy knows no bfloat16."""
    flat: np.ndarray = tensor.flatten().view(torch.uint8).numpy()
    return flat
