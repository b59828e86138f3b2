"""Random weights that make a tiny model behave like a trained one where it matters to tests.

Default initialisation (std 0.02) leaves attention uniform and hidden states near the embeddings: every test of
positions or of eviction would pass. Here query-key products have a spread of about 2, and biases and norms are random.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import nn

GAIN = 1.0
"""Matrices have std GAIN / sqrt(fan in). At 1 float32 rounding stays near 2e-6 on the logits; at 1.5 it nears 1e-5."""
JITTER = 0.2
"""What is added to vectors (norm weights, biases, gates), on top of their own initial value."""


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Fill every parameter in place, in float32. Each draws from a generator of its own name, so order is no matter."""
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim < 2:
            parameter.add_(noise.to(parameter) * JITTER)
        else:
            parameter.copy_(noise * _spread(name, parameter))


def _spread(name: str, parameter: nn.Parameter) -> float:
    """Token embeddings have std 1, like the states the layers add to them."""
    return 1.0 if "embed_tokens" in name else GAIN / math.sqrt(parameter[0].numel())
