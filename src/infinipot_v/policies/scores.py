"""VaN, and how the paper's two scores combine (arXiv 2506.15745, Algorithm 2); TaR is in cosines.py.

Shapes: values `[heads, slots, dim]` in any float type; `steps`, `cells` and every score `[heads, slots]`. Scores are
float32 also for bf16 tensors, whose norms would tie heavily. Knows no cache and no layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.policies.chunks import chunk_of, chunks, streamed
from infinipot_v.policies.cosines import TINY
from infinipot_v.types import Grid


def van_scores(values: Tensor) -> Tensor:
    """VaN before pooling: ||V||_2, float32 `[heads, slots]`."""
    norms = values.new_empty(values.shape[:2], dtype=torch.float32)
    for part in streamed(values):
        norms[:, part] = torch.linalg.vector_norm(values[:, part], dim=-1, dtype=torch.float32)
    return norms


def pool_on_grid(scores: Tensor, kernel: int, present: Tensor | None = None) -> Tensor:
    """Average pooling on the frame's grid, stride 1, padding not counted: `[heads, n, height, width]`.

    With `present` (bool, same shape) the average runs over the present cells only; absent cells come out as -inf.
    """
    present = torch.ones_like(scores, dtype=torch.bool) if present is None else present
    total = _window_sums(scores.masked_fill(~present, 0.0), kernel)
    count = _window_sums(present.to(scores.dtype), kernel)
    return total.div_(count.clamp_(min=1)).masked_fill_(~present, -torch.inf)


def _window_sums(grid: Tensor, kernel: int) -> Tensor:
    """Sum over the kernel x kernel window around each cell; beyond the border there is nothing."""
    return F.avg_pool2d(grid, kernel, stride=1, padding=kernel // 2, divisor_override=1)


def pool_whole(norms: Tensor, grid: Grid, kernel: int) -> Tensor:
    """Pool the tokens of whole steps, in the order of their cells: `[heads, steps * cells]` to the same."""
    if kernel == 1:
        return norms
    return pool_on_grid(norms.view(len(norms), -1, grid.height, grid.width), kernel).flatten(1)


def pool_held(norms: Tensor, steps: Tensor, cells: Tensor, grid: Grid, kernel: int) -> Tensor:
    """Pool each held vision token with the held cells around it in its own step; text scores -inf.

    Steps are laid out on dense grids, a few at a time: `[heads, n, height, width]` is large once survivors scatter.
    """
    vision = cells >= 0
    pooled = norms.masked_fill(~vision, -torch.inf)
    if kernel == 1:
        return pooled
    ids, rank = torch.unique(steps, return_inverse=True)
    for part in chunks(len(ids), len(norms) * grid.tokens, chunk_of(norms) // 4):
        head, slot = (vision & (rank >= part.start) & (rank < part.stop)).nonzero(as_tuple=True)
        at = (head, rank[head, slot] - part.start, cells[head, slot].long())
        dense = norms.new_full((len(norms), part.stop - part.start, grid.tokens), torch.nan)
        dense[at] = norms[head, slot]
        dense = dense.view(*dense.shape[:2], grid.height, grid.width)
        pooled[head, slot] = pool_on_grid(dense, kernel, ~dense.isnan()).flatten(2)[at]
    return pooled


def variation(norms: Tensor) -> float | None:
    """CV = sigma / mu of VaN over all tokens given (population sigma); None when mu is about zero or none is given."""
    if norms.numel() == 0:
        return None
    deviation, mean = torch.std_mean(norms.float(), correction=0)
    return float(deviation / mean) if float(mean) > TINY else None


def widest_kernel(grid: Grid) -> int:
    """The widest odd kernel that fits seven tenths of the grid's shorter side, as 7 does in the paper's 10 x 13.

    [ours] On smaller grids a wider one would average whole pictures: on 4 x 4, measured, it costs VaN its use.
    """
    return max(1, (7 * min(grid.height, grid.width) // 10 - 1) // 2 * 2 + 1)


def choose_kernel(cv: float | None, thresholds: tuple[float, float, float]) -> int:
    """7 if CV < t1, 5 if CV < t2, 3 if CV < t3, else 1: smooth (shallow) layers get wide kernels. None means 1."""
    if cv is None:
        return 1
    return next((kernel for kernel, limit in zip((7, 5, 3), thresholds, strict=True) if cv < limit), 1)


def combine(van: Tensor, tar: Tensor, recent: Tensor, picks: int, keep: int) -> Tensor:
    """Algorithm 2: recents and the `picks` best of TaR are overridden to the maximum, then the top `keep` by VaN.

    `tar` is -inf where a slot is no candidate (text, recents). Returns int64 `[heads, keep]`, ascending.
    Departure: the override is +inf in float32; the authors' "max + 1" rounds back to max in bf16.
    """
    picked = _best(tar, min(picks, tar.shape[1])).logical_and_(tar > -torch.inf)
    return top_slots(van.masked_fill(picked.logical_or_(recent), torch.inf), keep)


def top_slots(scores: Tensor, keep: int) -> Tensor:
    """The `keep` highest scores a head as int64 `[heads, keep]`, ascending and unique; ties go to the newer slot.

    Deterministic; infinities are allowed, NaN is not.
    """
    heads, slots = scores.shape
    assert 0 <= keep <= slots, f"cannot keep {keep} of {slots} slots"
    flat = _best(scores, keep).flatten().nonzero().view(heads, keep)
    return flat - slots * torch.arange(heads, device=scores.device)[:, None]


def _best(scores: Tensor, keep: int) -> Tensor:
    """Which slots are among the `keep` best of their head, bool `[heads, slots]`.

    The k-th value is a threshold; above it all stay, at it the newest that still fit, so nothing is sorted.
    """
    if keep == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = _highest(scores, keep)
    kept = scores >= threshold
    if int(kept.count_nonzero()) == len(scores) * keep:
        return kept
    above, tied = scores > threshold, scores == threshold
    left = keep - above.sum(dim=1, keepdim=True)
    newer_ties = tied.flip(1).cumsum(1, dtype=torch.int32).flip(1)
    return above | (tied & (newer_ties <= left))


def _highest(scores: Tensor, keep: int) -> Tensor:
    """The `keep`-th highest score of each head, `[heads, 1]`, keep > 0.

    Integers are selected in two thirds of the time: floats are compared with an eye on NaN.
    """
    numbers = _ordered(scores.contiguous().view(torch.int32)) if scores.dtype == torch.float32 else scores
    least = numbers.topk(keep, sorted=False).values.amin(dim=1, keepdim=True)
    return _ordered(least).view(torch.float32) if scores.dtype == torch.float32 else least


def _ordered(bits: Tensor) -> Tensor:
    """Bits of float32, as int32, to integers of the same order, and back: of negative ones all but the sign flip."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
