"""What a machine has: versions, devices, memory, attention implementations, video libraries. Loads no model."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from infinipot_v.types import UserError

PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub", "numpy", "pillow", "av", "typer", "rich",
)  # fmt: skip
EXTRAS = ("torchvision", "accelerate", "bitsandbytes", "flash-attn", "matplotlib", "num2words")
"""Not needed; each makes something more possible."""


@dataclass(frozen=True)
class Device:
    """A place for weights: `kind` is torch's name of it. Bytes are None where the system does not tell."""

    kind: str
    name: str
    total_bytes: int | None
    free_bytes: int | None


@dataclass(frozen=True)
class Machine:
    """Everything that `infinipot-v doctor` says without a model; JSON-able with `dataclasses.asdict`."""

    versions: dict[str, str | None]
    cores: int
    devices: tuple[Device, ...]
    attention: dict[str, bool]
    video: dict[str, str | None]

    def device(self, name: str) -> Device:
        """The device that a name means; `auto` is CUDA if there is one, else the CPU. Raises `UserError`."""
        if name == "auto":
            return next((device for device in self.devices if device.kind.startswith("cuda")), self.devices[0])
        wanted = "cuda:0" if name == "cuda" else name
        for device in self.devices:
            if device.kind == wanted:
                return device
        raise UserError(f"device {name!r} is not here: choose auto, {', '.join(d.kind for d in self.devices)}")


def look() -> Machine:
    """Look at this machine. Importing torch and transformers takes seconds."""
    return Machine(versions(), _cores(), (_cpu(), *_cuda(), *_mps()), _attention(), _video())


def versions() -> dict[str, str | None]:
    """Versions of ourselves and of what we lean on; None where it is not installed."""
    from infinipot_v import __version__

    found: dict[str, str | None] = {"infinipot-v": __version__, "python": platform.python_version()}
    return found | {name: _version(name) for name in (*PACKAGES, *EXTRAS)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> Device:
    name = platform.processor() or platform.machine()
    return Device("cpu", name, memory_limit(), memory_free())


def _cuda() -> list[Device]:
    import torch

    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Device(f"cuda:{index}", torch.cuda.get_device_name(index), total, free))
    return found


def _mps() -> list[Device]:
    import torch

    if not torch.backends.mps.is_available():
        return []
    total = torch.mps.recommended_max_memory()
    return [Device("mps", "Apple GPU", total, total - torch.mps.driver_allocated_memory())]


def _attention() -> dict[str, bool]:
    """Whether `attn_implementation` may have each name here."""
    from transformers import utils

    flex = getattr(utils, "is_torch_flex_attn_available", lambda: False)
    flash = getattr(utils, "is_flash_attn_2_available", lambda: False)
    return {"sdpa": True, "eager": True, "flash_attention_2": bool(flash()), "flex_attention": bool(flex())}


def _video() -> dict[str, str | None]:
    """PyAV, and the FFmpeg that it brings."""
    try:
        import av
    except ImportError:
        return {"av": None, "ffmpeg": None}
    libraries: dict[str, Any] = getattr(av, "library_versions", {})
    codec = libraries.get("libavcodec")
    ffmpeg = getattr(av, "ffmpeg_version_info", None)
    return {"av": av.__version__, "ffmpeg": ffmpeg, "libavcodec": ".".join(map(str, codec)) if codec else None}


def memory_limit() -> int | None:
    """Bytes that this process may use: the machine's, or its container's where that is less."""
    limits = [memory_total(), _number("/sys/fs/cgroup/memory.max")]
    known = [limit for limit in limits if limit]
    return min(known) if known else None


def memory_total() -> int | None:
    """Bytes that the machine has; None where the system does not tell."""
    return _pages("SC_PHYS_PAGES")


def memory_free() -> int | None:
    """Bytes that can be had without swapping."""
    left, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    free = [_available() or _pages("SC_AVPHYS_PAGES"), left - used if left and used else None]
    known = [amount for amount in free if amount is not None]
    return max(0, min(known)) if known else None


def _available() -> int | None:
    """Linux counts what it would give back from its caches too."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _number(path: str) -> int | None:
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
