"""The method in its obvious form, as its formulas read: kept as the control of `bench compress`, used by nothing else.

One layer, slots that are an intact grid of whole steps (arXiv 2506.15745, Algorithm 2). Every recent step is multiplied
with every past one, `[heads, r, f - r, p, dim]`; orders are found by sorting; what is kept is gathered into new
tensors. Kinder to the form than need be: recents are not compared with themselves.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.types import Grid


def compress(
    keys: Tensor, values: Tensor, grid: Grid, keep: int, recent: float, alpha: float, kernel: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep `keep` slots a head: keys and values `[heads, keep, dim]`, and which slots they are `[heads, keep]`.

    `keys`, `values` `[heads, steps * cells, dim]`; `kernel` is the layer's pooling kernel.
    """
    heads, slots, dim = keys.shape
    cells = grid.tokens
    newest = min(int(recent * slots), int(alpha * keep)) // cells
    past = slots - newest * cells
    van = pooled_norms(values, grid, kernel)
    van[:, past:] = torch.inf
    picks = min(int(alpha * keep) - newest * cells, past)
    if newest:
        tar = distinctness(keys.view(heads, -1, cells, dim), newest)
        van.scatter_(1, best(tar.flatten(1), picks), torch.inf)
    kept = best(van, keep).sort(dim=1).values
    index = kept[..., None].expand(-1, -1, dim)
    return keys.gather(1, index), values.gather(1, index), kept


def distinctness(keys: Tensor, newest: int) -> Tensor:
    """TaR of the past steps, `[heads, f - r, p]`, of keys `[heads, f, p, dim]`: minus the mean cosine with the recents.

    In float32: keys of bf16 would give the same order less exactly, and on a CPU more slowly.
    """
    unit = F.normalize(keys.float(), dim=-1)
    past, recent = unit[:, :-newest], unit[:, -newest:]
    product = recent[:, :, None] * past[:, None]  # [heads, r, f - r, p, dim]
    return -product.sum(dim=-1).mean(dim=1)


def pooled_norms(values: Tensor, grid: Grid, kernel: int) -> Tensor:
    """VaN of values `[heads, slots, dim]`, averaged over the cells around, padding not counted: `[heads, slots]`."""
    norms = torch.linalg.vector_norm(values, dim=-1, dtype=torch.float32)
    frames = norms.view(len(values), -1, grid.height, grid.width)
    return F.avg_pool2d(frames, kernel, 1, kernel // 2, count_include_pad=False).flatten(1)


def best(scores: Tensor, count: int) -> Tensor:
    """Slots of the highest scores, `[heads, count]`."""
    return scores.argsort(dim=1, descending=True)[:, :count]
