"""The process's peak memory: what the cap does not promise (weights, activations, the interpreter) is in here."""

from __future__ import annotations

import sys

import torch


def peak_bytes(device: torch.device) -> int:
    """Peak bytes so far: the allocator's on CUDA, the resident set's elsewhere; 0 where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
