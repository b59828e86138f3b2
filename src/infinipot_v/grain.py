"""How much work one operation is given: little where it should stay in a core's own cache, much where it is a launch.

What is computed does not depend on it, apart from the order of sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Grain:
    """What suits a kind of device.

    - `chunk`: elements of a streamed chunk, in float32 while it lasts.
    - `bank`: elements of the keys that are chosen among and moved together: so many layers make a bank.
    - `by_head`: whether slots are gathered a head at a time, whole rows of one buffer; otherwise of all heads at once.
    """

    chunk: int
    bank: int
    by_head: bool


CORE = Grain(chunk=2**18, bank=2**20, by_head=True)
"""A CPU: 1 MiB is about a core's own cache (512 slots of 4 heads x 128), and a call costs next to nothing."""

LAUNCHES = Grain(chunk=2**22, bank=2**27, by_head=False)
"""Elsewhere every operation is launched, which takes as long as reading megabytes: 16 MiB, and 28 layers of a 7B model
at |M| = 6,144 in one bank."""


def grain_of(device: torch.device) -> Grain:
    """The grain of a device."""
    return CORE if device.type == "cpu" else LAUNCHES
