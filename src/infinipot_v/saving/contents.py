"""What is inside a saved memory, read from its header: no model is needed, and no slot is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.saving.codec import decode
from infinipot_v.saving.container import Container, opened
from infinipot_v.saving.identity import Identity
from infinipot_v.saving.memory import header_of
from infinipot_v.types import MemoryReport


@dataclass(frozen=True)
class Contents:
    """A file's `bytes` and `parts` of it in bytes, who made it and `saved` it when (ISO 8601, UTC), for which `model`
    (as the user called it), with which `setup` (JSON), the `report` of that moment, its `turns` of dialogue, and what
    was given as `extra`."""

    path: str
    bytes: int
    format: int
    version: str
    saved: str
    model: str
    family: str
    dtype: str
    setup: Mapping[str, Any]
    report: MemoryReport
    last_seconds: float
    turns: int
    parts: Mapping[str, int]
    extra: Mapping[str, Any]


def describe(path: str | Path, *, check: bool = False) -> Contents:
    """Read what a memory's header says; with `check`, read all of the file and verify every checksum.

    Raises `SaveError` for a file that is no memory, is damaged, or was made by a newer release.
    """
    with opened(path) as container:
        header = header_of(container)
        if check:
            for name in container.table:
                container.tensor(name)
        model = decode(Identity, header["model"], container.tensor)
        return Contents(
            path=str(path),
            bytes=Path(path).stat().st_size,
            format=header["format"],
            version=header["version"],
            saved=header["saved"],
            model=model.name,
            family=model.family,
            dtype=model.dtype,
            setup=header["setup"],
            report=decode(MemoryReport, header["report"], container.tensor),
            last_seconds=decode(float, header["state"]["moment"]["last_seconds"], container.tensor),
            turns=len(header["state"]["turns"]),
            parts=_parts(container),
            extra=header["extra"],
        )


def _parts(container: Container) -> dict[str, int]:
    """Bytes of all tensors by what they are."""
    parts: dict[str, int] = {}
    for name in container.table:
        head, _, rest = name.partition(".")
        kind = name.rpartition(".")[2] if rest.startswith("cache.stores") else rest.split(".")[0] or head
        parts[kind] = parts.get(kind, 0) + container.bytes_of(name)
    return parts
