"""Ways to harm a memory's file: by accident, where checksums tell, and on purpose, with checksums made to fit."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from infinipot_v.saving.container import KEY, _digest

STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, -(2**63), 10**30, 1e308, "", "x" * 5000, "__import__('os').system('true')",
    [], [[]], {}, {"is": "os.system"}, {"is": "Budget"}, {"tensor": "no"}, {"__reduce__": ["os.system", ["true"]]},
)  # fmt: skip
"""Values that no header has at that place."""

DAMAGE: list[Callable[[bytes, Random], bytes]] = []


def _damage(make: Callable[[bytes, Random], bytes]) -> Callable[[bytes, Random], bytes]:
    DAMAGE.append(make)
    return make


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The container's head, and the tensors' bytes."""
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(head: dict[str, Any], body: bytes) -> bytes:
    """The file of a head and bytes."""
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


@_damage
def flipped(data: bytes, drawn: Random) -> bytes:
    """One to eight bits anywhere."""
    found = bytearray(data)
    for place in drawn.sample(range(len(data)), drawn.randint(1, 8)):
        found[place] ^= 1 << drawn.randrange(8)
    return bytes(found)


@_damage
def flipped_in_the_head(data: bytes, drawn: Random) -> bytes:
    """One bit of the header, where little is much."""
    size, found = struct.unpack("<Q", data[:8])[0], bytearray(data)
    found[drawn.randrange(8 + size)] ^= 1 << drawn.randrange(8)
    return bytes(found)


@_damage
def truncated(data: bytes, drawn: Random) -> bytes:
    """The beginning."""
    return data[: drawn.randrange(len(data))]


@_damage
def zeroed(data: bytes, drawn: Random) -> bytes:
    """A stretch of zeros, as a file system leaves it behind a crash."""
    first = drawn.randrange(len(data))
    last = min(len(data), first + drawn.randint(64, 4096))
    return data[:first] + bytes(last - first) + data[last:]


@_damage
def swapped(data: bytes, drawn: Random) -> bytes:
    """Two tensors of one shape in each other's place."""
    head, body = parts(data)
    alike = [
        (one, other) for one in head for other in head
        if one < other and "__metadata__" not in (one, other) and head[one]["shape"] == head[other]["shape"]
        and _span(body, head[one]) != _span(body, head[other])
    ]  # fmt: skip
    one, other = drawn.choice(alike)
    head[one], head[other] = head[other], head[one]
    return joined(head, body)


@_damage
def absurd(data: bytes, drawn: Random) -> bytes:
    """A shape, or a place in the file, that cannot be."""
    head, body = parts(data)
    entry = head[drawn.choice([name for name in head if name != "__metadata__"])]
    if drawn.random() < 0.5:
        entry["shape"] = drawn.choice([[2**40], [2**62, 4], [-1], [0], [1] * 300, ["4"], [10**30]])
    else:
        entry["data_offsets"] = drawn.choice([[0, 2**50], [2**63, 2**63 + 8], [-8, 0], [8, 0]])
    return joined(head, body)


def _span(body: bytes, entry: dict[str, Any]) -> bytes:
    first, last = entry["data_offsets"]
    return body[first:last]


def forged(data: bytes, drawn: Random) -> bytes:
    """Anything in the header, and one shape, changed by somebody who makes the checksums fit."""
    head, body = parts(data)
    metadata = head["__metadata__"]
    header = json.loads(metadata[KEY])
    for _ in range(drawn.randint(1, 3)):
        _change(header, drawn)
    if drawn.random() < 0.2:
        entry = head[drawn.choice([name for name in head if name != "__metadata__"])]
        entry["shape"] = drawn.choice([entry["shape"][::-1], [1, *entry["shape"]]])
    table = {name: (entry["dtype"], entry["shape"]) for name, entry in head.items() if name != "__metadata__"}
    metadata[KEY] = json.dumps(header)
    metadata["digest"] = _digest(metadata[KEY], metadata["checksums"], table)
    return joined(head, body)


def _change(header: Any, drawn: Random) -> None:
    """One value anywhere in the tree."""
    while True:
        keys = list(header) if isinstance(header, dict) else list(range(len(header)))
        key = drawn.choice(keys)
        if isinstance(header[key], dict | list) and header[key] and drawn.random() < 0.85:
            header = header[key]
            continue
        if drawn.random() < 0.2 and isinstance(header, dict):
            del header[key]
        elif isinstance(header[key], int | float) and drawn.random() < 0.5:
            header[key] += drawn.choice([-1, 1, 7, 0.5])
        else:
            header[key] = copy.deepcopy(drawn.choice(STRANGE))
        return


def harmed(path: Path, number: int) -> tuple[bytes, bool]:
    """A harmed version of a file, and whether somebody forged it; the same for the same number."""
    drawn, data = Random(number), path.read_bytes()
    if number % 3 == 0:
        return forged(data, drawn), True
    return DAMAGE[number % len(DAMAGE)](data, drawn), False
