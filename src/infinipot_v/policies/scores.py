"""The paper's two scores and how they combine (arXiv 2506.15745: TaR, VaN, Algorithm 2).

Shapes: keys and values `[heads, slots, dim]` in any float type; `steps`, `cells` and every score `[heads, slots]`.
Scores are float32 also for bf16 tensors, whose norms would tie heavily. Whatever has a `dim` axis is streamed over
chunks, so that no tensor of heads x slots x dim ever exists. Knows no cache and no layer.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.policies.base import ContentKeys
from infinipot_v.types import Grid

CHUNK = 2**17
"""Elements of a streamed chunk: 512 KiB in float32 (256 slots of 4 heads x 128)."""

TINY = 1e-12
"""Norms below this count as zero, and a zero vector is at right angles to everything."""


def chunks(length: int, elements: int, size: int = CHUNK) -> Iterator[slice]:
    """Cut `range(length)` so that items of `elements` elements each make chunks of at most `size` elements."""
    stride = max(1, size // max(1, elements))
    return (slice(start, min(start + stride, length)) for start in range(0, length, stride))


def van_scores(values: Tensor) -> Tensor:
    """VaN before pooling: ||V||_2, float32 `[heads, slots]`."""
    heads, slots, dim = values.shape
    norms = values.new_empty(heads, slots, dtype=torch.float32)
    for part in chunks(slots, heads * dim):
        norms[:, part] = torch.linalg.vector_norm(values[:, part], dim=-1, dtype=torch.float32)
    return norms


def tar_scores(
    keys: Tensor, steps: Tensor, cells: Tensor, newest: Tensor, tokens: int, content: ContentKeys | None = None
) -> Tensor:
    """TaR of the past vision slots: minus the mean cosine with the same cell's keys in the recent steps, float32.

        s_TaR(t, c) = -(1/r) * sum over recent t' of cos(K[t, c], K[t', c])

    `newest` `[r]`, r > 0, holds the ids of the recent steps, ascending; a step has `tokens` cells. By linearity the
    mean of cosines is one dot product with the mean of the normalised recent keys, so no `[r, f, p, D]` product is
    built. `content` is applied to keys before they are compared. Text and recent slots score -inf.

    Departures: the mean runs over the recents that have the cell; a cell that none has is as distinct as the most
    distinct past slot of its head (0 if there is none to compare with).
    """
    reference, known = _recent_means(keys, steps, cells, newest, tokens, content)
    cell = cells.long().clamp(min=0)
    past = (cells >= 0) & (steps < newest[0])
    known = known.gather(1, cell)
    scores = -_cosines(keys, steps, reference, cell, content)
    scores.masked_fill_(~(past & known), -torch.inf)
    most = scores.amax(dim=1, keepdim=True)
    return torch.where(past & ~known, most.masked_fill(most.isneginf(), 0.0), scores)


def _recent_means(
    keys: Tensor, steps: Tensor, cells: Tensor, newest: Tensor, tokens: int, content: ContentKeys | None
) -> tuple[Tensor, Tensor]:
    """Mean normalised recent key of each cell, float32 `[heads, tokens, dim]`; which cells have one, bool."""
    heads, _, dim = keys.shape
    head, slot = ((cells >= 0) & (steps >= newest[0])).nonzero(as_tuple=True)
    rank = torch.searchsorted(newest, steps[head, slot])
    slot_of = slot.new_full((heads, len(newest), tokens), -1)
    slot_of[head, rank, cells[head, slot].long()] = slot
    total = keys.new_zeros(heads, tokens, dim, dtype=torch.float32)
    rows = torch.arange(heads, device=keys.device)[:, None]
    for part in chunks(len(newest), heads * tokens * dim, CHUNK // 2):  # sums of whole steps: no atomics
        index = slot_of[:, part].flatten(1)
        at = index.clamp(min=0)
        some = keys[rows, at] if content is None else content(keys[rows, at], steps[rows, at])
        unit = F.normalize(some.float(), dim=-1, eps=TINY).mul_((index >= 0)[..., None])
        total += unit.view(heads, -1, tokens, dim).sum(dim=1)
    count = (slot_of >= 0).sum(dim=1)
    return total.div_(count.clamp(min=1)[..., None]), count > 0


def _cosines(keys: Tensor, steps: Tensor, reference: Tensor, cell: Tensor, content: ContentKeys | None) -> Tensor:
    """`K / ||K||` dot the reference of its cell, float32 `[heads, slots]`; 0 for zero keys."""
    heads, slots, dim = keys.shape
    row = cell + torch.arange(heads, device=keys.device)[:, None] * reference.shape[1]
    table = reference.flatten(0, 1)
    cosines = reference.new_empty(heads, slots)
    for part in chunks(slots, heads * dim):
        some = keys[:, part] if content is None else content(keys[:, part], steps[:, part])
        dots = F.embedding(row[:, part], table).mul_(some).sum(dim=-1)
        cosines[:, part] = dots / torch.linalg.vector_norm(some, dim=-1, dtype=torch.float32).clamp_(min=TINY)
    return cosines


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


def pool_held(norms: Tensor, steps: Tensor, cells: Tensor, grid: Grid, kernel: int) -> Tensor:
    """Pool each held vision token with the held cells around it in its own step; text scores -inf.

    Steps are laid out on dense grids, a few at a time: `[heads, n, height, width]` is large once survivors scatter.
    """
    vision = cells >= 0
    pooled = norms.masked_fill(~vision, -torch.inf)
    if kernel == 1:
        return pooled
    ids, rank = torch.unique(steps, return_inverse=True)
    for part in chunks(len(ids), len(norms) * grid.tokens, CHUNK // 4):
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
    best = top_slots(tar, min(picks, tar.shape[1]))
    picked = torch.zeros_like(recent).scatter_(1, best, True) & ~tar.isneginf()
    return top_slots(van.masked_fill(recent | picked, torch.inf), keep)


def top_slots(scores: Tensor, keep: int) -> Tensor:
    """The `keep` highest scores a head as int64 `[heads, keep]`, ascending and unique; ties go to the newer slot.

    Deterministic; infinities are allowed, NaN is not. The k-th value is a threshold; above it all stay, at it the
    newest that still fit, so nothing is sorted.
    """
    heads, slots = scores.shape
    assert 0 <= keep <= slots, f"cannot keep {keep} of {slots} slots"
    if keep == 0:
        return torch.empty(heads, 0, dtype=torch.long, device=scores.device)
    threshold = scores.topk(keep, sorted=False).values.amin(dim=1, keepdim=True)
    above, tied = scores > threshold, scores == threshold
    newer_ties = tied.flip(1).cumsum(1).flip(1)
    kept = above | (tied & (newer_ties <= keep - above.sum(dim=1, keepdim=True)))
    return kept.nonzero()[:, 1].reshape(heads, keep)
