"""How much memory is taken: the allocator's own count on CUDA, the resident set elsewhere. And what to do without."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from infinipot_v.peak import peak_bytes
from infinipot_v.types import UserError

T = TypeVar("T")
STATM = Path("/proc/self/statm")


class Meter:
    """Bytes of one device. On a CPU the peak is the process's and never falls, so it says little there."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def kind(self) -> str:
        """What is counted."""
        return "allocator" if self._device.type == "cuda" else "resident set"

    def restart(self) -> None:
        """Free what nobody holds, and count the peak from here."""
        if self._device.type == "cuda":
            free(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)

    @property
    def held(self) -> int:
        """Bytes taken now."""
        if self._device.type == "cuda":
            return int(torch.cuda.memory_allocated(self._device))
        if not STATM.exists():
            return 0
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def peak(self) -> int:
        """The most bytes taken since `restart`."""
        return peak_bytes(self._device)


def free(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def fits(call: Callable[[], T], device: torch.device) -> T | None:
    """What `call` returns; None when the device has not enough memory for it, and then all is freed."""
    try:
        return call()
    except (UserError, RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    # Only here is the traceback gone, which held the tensors of the failed call.
    free(device)
    return None


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that memory is used up. Says so also of our own cap's refusal."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__
    return False


def device_of(name: str) -> torch.device:
    """The device to measure on. Raises `UserError` where there is none of that name."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device is here: give --device cpu --shapes tiny to try the benchmark on a CPU")
    try:
        device = torch.empty(1, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {name!r} cannot be used with this torch: give cuda, cuda:1 or cpu") from error
    if device.type not in ("cuda", "cpu"):
        raise UserError(f"device {name!r} is not measured here: give cuda, cuda:1 or cpu")
    return device


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({sys.platform})"


def device_bytes(device: torch.device) -> int | None:
    """All memory that a CUDA device has."""
    return int(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else None
