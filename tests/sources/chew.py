"""Damages a video in many ways and reads what is left, in a process of its own: `python -m tests.sources.chew FILE N`.

Prints one JSON object for each. A hang, be it inside the decoder, ends the process after `LIMIT` seconds with the
stack of every thread; so does a crash of the decoder's.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from infinipot_v.sources import open_source
from infinipot_v.types import UserError

LIMIT = 10.0
"""Seconds for one file, which takes 10 ms: for a busy machine."""


def bitten(content: bytes, seed: int) -> bytes:
    """`content` with bits flipped, overwritten with noise, cut out of the middle or cut off, or several of these."""
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    kinds = rng.permutation(4)[: rng.integers(1, 3)]
    first, length = int(rng.integers(len(data))), int(rng.integers(1, len(data) // 4))
    if 0 in kinds:
        for place in rng.integers(len(data), size=int(rng.integers(1, 40))):
            data[place] ^= 1 << int(rng.integers(8))
    if 1 in kinds:
        data[first : first + length] = rng.bytes(min(length, len(data) - first))
    if 2 in kinds:
        del data[first : first + length]
    if 3 in kinds:
        del data[int(rng.integers(1, len(data) + 1)) :]
    return bytes(data)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the process if the block takes longer. A thread of C watches, so that nothing can hold it up."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def read(path: Path, **options: Any) -> dict[str, Any]:
    """What came of reading: frames and damage, or the line that refused it, or the crash."""
    try:
        with open_source(path, **{"fps": 1000, **options}) as source:
            frames = [(frame.seconds, frame.pixels.shape, str(frame.pixels.dtype)) for frame in source]
        ascending = all(earlier[0] < later[0] for earlier, later in pairwise(frames))
        sound = ascending and all(len(shape) == 3 and shape[2] == 3 and kind == "uint8" for _, shape, kind in frames)
        return {"frames": len(frames), "sound": sound, "damaged": source.damaged, "damage": source.damage}
    except UserError as error:
        return {"refused": str(error)}
    except Exception:
        return {"crash": traceback.format_exc()}


def main(path: Path, count: int) -> None:
    content = path.read_bytes()
    for seed in range(count):
        path.write_bytes(bitten(content, seed))
        with deadline(LIMIT):
            print(json.dumps({"seed": seed, **read(path)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
