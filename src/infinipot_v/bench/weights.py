"""Random weights, made where they lie: no copy, no file, seconds for 8 billion of them.

As in `infinipot_v.testing.weights`, attention depends on content and position, and activations keep a size of about 1
through all layers: matrices have std gain / sqrt(fan in). The numbers differ from device to device.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import nn

from infinipot_v.testing.weights import JITTER


@torch.no_grad()
def fill(model: nn.Module, seed: int, gain: float = 1.0) -> None:
    """Fill every parameter in place, each from a generator of its own name, so order is no matter."""
    for name, parameter in model.named_parameters():
        generator = torch.Generator(device=parameter.device)
        generator.manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
        if parameter.ndim < 2:
            noise = torch.empty_like(parameter).normal_(0.0, JITTER, generator=generator)
            parameter.add_(noise)
        else:
            parameter.normal_(0.0, _spread(name, parameter, gain, model), generator=generator)


def _spread(name: str, parameter: nn.Parameter, gain: float, model: nn.Module) -> float:
    """Token embeddings have std 1, unless they are the matrix of the logits too."""
    head = getattr(model, "lm_head", None)
    tied = head is not None and head.weight is parameter
    return 1.0 if "embed_tokens" in name and not tied else gain / math.sqrt(parameter[0].numel())
