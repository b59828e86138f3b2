"""How much memory is taken: the allocator's own count on CUDA, the resident set elsewhere. And what to do without."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch

from infinipot_v.peak import peak_bytes
from infinipot_v.types import UserError

T = TypeVar("T")
REFUSALS = ("can't allocate memory", "std::bad_alloc", "could not create a memory object")
"""What the libraries of a CPU say when memory is used up: PyTorch's allocator, C++, oneDNN."""
STATUS = Path("/proc/self/status")
FORGET = Path("/proc/self/clear_refs")
"""Writing 5 to it lets Linux count a process's peak anew (proc(5))."""


class Meter:
    """Bytes of one device: the allocator's on CUDA; elsewhere the resident set of this process.

    A peak of the resident set can be counted anew only on Linux; elsewhere it is the highest since the process began.
    What a process has freed may stay resident, so figures that are compared want processes of their own.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def kind(self) -> str:
        """What is counted."""
        return "allocator" if self._device.type == "cuda" else "resident set"

    def restart(self) -> None:
        """Free what nobody holds, and count the peak from here."""
        free(self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        with suppress(OSError):
            FORGET.write_text("5")

    @property
    def held(self) -> int:
        """Bytes taken now."""
        if self._device.type == "cuda":
            return int(torch.cuda.memory_allocated(self._device))
        return _resident("VmRSS") or 0

    @property
    def peak(self) -> int:
        """The most bytes taken since `restart`."""
        if self._device.type == "cuda":
            return peak_bytes(self._device)
        return _resident("VmHWM") or peak_bytes(self._device)


def _resident(what: str) -> int | None:
    """A line of /proc/self/status in bytes; None where there is none."""
    if not STATUS.exists():
        return None
    found = re.search(rf"^{what}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


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
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in REFUSALS):
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
