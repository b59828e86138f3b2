"""Random weights that make a tiny model behave like a trained one where it matters to tests.

Default initialisation (std 0.02) leaves attention uniform and hidden states near the embeddings: every test of
positions or of eviction would pass. Here query-key products have a spread of about 1, and biases and norms are random.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import nn

JITTER = 0.2
"""What is added to vectors (norm weights, biases, gates), on top of their own initial value."""


@torch.no_grad()
def randomise(model: nn.Module, seed: int, gain: float = 1.0) -> None:
    """Fill every parameter in place, in float32. Each draws from a generator of its own name, so order is no matter.

    Matrices have std `gain` / sqrt(fan in). At 1 float32 rounding stays near 2e-6 on the logits; at 1.5 it nears 1e-5.
    """
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim < 2:
            parameter.add_(noise.to(parameter) * JITTER + _shift(name))
        else:
            parameter.copy_(noise * _spread(name, parameter, gain))


def _shift(name: str) -> float:
    """Normalised queries and keys get products as wide as the others; recurrent layers remember for some ten tokens."""
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return 0.5
    return -4.0 if name.endswith("A_log") else 0.0


def _spread(name: str, parameter: nn.Parameter, gain: float) -> float:
    """Token embeddings have std 1, like the states the layers add to them."""
    return 1.0 if "embed_tokens" in name else gain / math.sqrt(parameter[0].numel())
