"""The weights as their headers describe them: names, shapes and bytes, without reading one number.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header, a JSON object
(https://huggingface.co/docs/safetensors). What a file should be long follows from it, so a torn download shows.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.survey.files import CheckpointFiles

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LONGEST = 100_000_000
"""Bytes a header has at most, as in the format's own library."""


@dataclass(frozen=True)
class Weights:
    """`bytes` on disk, all files together; `numbers` in all tensors; `tensors` how many.

    `problem` says in one line why they cannot be loaded, or is None. `here` is False for weights that are still on the
    hub: then `bytes` are to be downloaded, and `numbers` is 0 where nobody says.
    """

    bytes: int
    numbers: int
    tensors: int
    here: bool = True
    problem: str | None = None


def look_at_weights(files: CheckpointFiles) -> Weights:
    """Read the headers of a checkpoint's weights. Nothing large is downloaded."""
    folder = _folder(files)
    if folder is None:
        return _on_the_hub(files)
    names = _names(folder)
    if not names:
        if files.files.local:
            return Weights(0, 0, 0, problem=f"{files.name} has no {WHOLE}: download the checkpoint again")
        return _on_the_hub(files)
    lost = [name for name in names if not (folder / name).is_file()]
    if lost and not files.files.local:
        return _on_the_hub(files)
    if lost:
        what = (
            f"{len(lost)} of {len(names)} files of weights are missing ({lost[0]}, ...): download the checkpoint again"
        )
        return Weights(0, 0, 0, problem=what)
    return _together([_of_file(folder / name) for name in names])


def _folder(files: CheckpointFiles) -> Path | None:
    """The folder, or the hub cache's folder of this checkpoint."""
    if files.files.local:
        return Path(files.place)
    config = files.files.path("config.json")
    return None if config is None else config.parent


def _names(folder: Path) -> list[str]:
    """Files of weights: one, or those that the index names."""
    if (folder / WHOLE).exists():
        return [WHOLE]
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
        return names if all(isinstance(name, str) for name in names) else []
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return []


def _of_file(path: Path) -> Weights:
    """One file's header. Whatever it says that cannot be makes a problem."""
    size = path.stat().st_size
    try:
        header, start = _header(path, size)
        parts = [part for name, part in header.items() if name != "__metadata__"]
        end = start + max((part["data_offsets"][1] for part in parts), default=0)
        numbers = sum(math.prod(part["shape"]) for part in parts)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Weights(size, 0, 0, problem=f"{path.name} is no safetensors file: download the checkpoint again")
    torn = f"{path.name} is torn: {size:,} of {end:,} bytes; download the checkpoint again" if size < end else None
    return Weights(size, numbers, len(parts), problem=torn)


def _header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(LONGEST, size - 8):
            raise ValueError("no header of that length")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("not an object")
    return header, 8 + length


def _together(parts: list[Weights]) -> Weights:
    problem = next((part.problem for part in parts if part.problem), None)
    total, numbers, tensors = (sum(getattr(part, name) for part in parts) for name in ("bytes", "numbers", "tensors"))
    return Weights(total, numbers, tensors, problem=problem)


def _on_the_hub(files: CheckpointFiles) -> Weights:
    """What the hub says of weights that are not here: its index file, or the headers, which it gives piece by piece."""
    if files.files.trouble:
        return Weights(0, 0, 0, here=False, problem=str(files.files.absent("model.safetensors")))
    total = files.json(INDEX).get("metadata", {}).get("total_size")
    if isinstance(total, int):
        return Weights(total, 0, 0, here=False)
    from huggingface_hub import get_safetensors_metadata

    try:
        found = get_safetensors_metadata(files.place, revision=files.where.get("revision"))
    except Exception as error:  # the hub's client raises a dozen kinds
        what = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Weights(
            0, 0, 0, here=False, problem=f"the weights of {files.name} cannot be looked at on the hub: {what}"
        )
    parts = [tensor for file in found.files_metadata.values() for tensor in file.tensors.values()]
    size = sum(part.data_offsets[1] - part.data_offsets[0] for part in parts)
    return Weights(size, sum(part.parameter_count for part in parts), len(parts), here=False)
