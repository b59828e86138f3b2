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

CHUNK = 2**18
"""Elements of a streamed chunk on a CPU: 1 MiB in float32 (512 slots of 4 heads x 128), about a core's own cache."""

WIDE_CHUNK = 2**20
"""The same elsewhere, where every operation costs a launch: 4 MiB."""

TINY = 1e-12
"""Norms below this count as zero, and a zero vector is at right angles to everything."""


def chunks(length: int, elements: int, size: int = CHUNK) -> Iterator[slice]:
    """Cut `range(length)` so that items of `elements` elements each make chunks of at most `size` elements."""
    stride = max(1, size // max(1, elements))
    return (slice(start, min(start + stride, length)) for start in range(0, length, stride))


def streamed(vectors: Tensor) -> Iterator[slice]:
    """Chunks of the slots of `[heads, slots, dim]`, of a size that suits the device."""
    heads, slots, dim = vectors.shape
    return chunks(slots, heads * dim, _chunk(vectors))


def _chunk(vectors: Tensor) -> int:
    return CHUNK if vectors.device.type == "cpu" else WIDE_CHUNK


def van_scores(values: Tensor) -> Tensor:
    """VaN before pooling: ||V||_2, float32 `[heads, slots]`."""
    norms = values.new_empty(values.shape[:2], dtype=torch.float32)
    for part in streamed(values):
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
    before = steps < newest[0]
    older = before.sum(dim=1)
    first, last = int(older.min()), int(older.max())  # in every head the recents come behind the past
    reference, known = _recent_means(keys[:, first:], steps[:, first:], cells[:, first:], newest, tokens, content)
    scores = torch.full(steps.shape, -torch.inf, device=keys.device)
    if last == 0:
        return scores
    past = before[:, :last] & (cells[:, :last] >= 0)
    cell = cells[:, :last].clamp(min=0).long()
    cosines, mixed = reference.new_empty(cell.shape), _mixed(cell, tokens)
    _compare_mixed(keys[:, :mixed], steps[:, :mixed], reference, cell[:, :mixed], content, cosines[:, :mixed])
    _compare_whole(keys[:, mixed:last], steps[:, mixed:last], reference, content, cosines[:, mixed:])
    scores[:, :last] = _distinctness(cosines, past, cell, known)
    return scores


def _distinctness(cosines: Tensor, past: Tensor, cell: Tensor, known: Tensor) -> Tensor:
    """TaR of slots from their cosines, which are overwritten; -inf where not `past`.

    `known` `[heads, tokens]` says which cells have a reference. Without one: the most distinct of the head.
    """
    scores = torch.where(past, cosines.neg_(), -torch.inf)
    if bool(known.all()):
        return scores
    strange = past & ~known.gather(1, cell)
    most = scores.masked_fill_(strange, -torch.inf).amax(dim=1, keepdim=True)
    return torch.where(strange, most.masked_fill(most.isneginf(), 0.0), scores)


def _recent_means(
    keys: Tensor, steps: Tensor, cells: Tensor, newest: Tensor, tokens: int, content: ContentKeys | None
) -> tuple[Tensor, Tensor]:
    """Mean normalised recent key of each cell, float32 `[heads, tokens, dim]`; which cells have one, bool."""
    if _intact(steps, cells, newest, tokens):
        return _means_of_whole(keys, steps, tokens, content), keys.new_ones(len(keys), tokens, dtype=torch.bool)
    slot_of = _slots_of(steps, cells, newest, tokens)
    total = keys.new_zeros(keys.shape[0], tokens, keys.shape[2], dtype=torch.float32)
    for part in chunks(len(newest), total.numel(), _chunk(keys)):  # each cell of a step is added once: no atomics
        index = slot_of[:, part].flatten(1)
        at = index.clamp(min=0)
        units = _units(_taken(keys, at), _taken(steps, at), content).mul_((index >= 0)[..., None])
        total += units.unflatten(1, (-1, tokens)).sum(dim=1)
    count = (slot_of >= 0).sum(dim=1)
    return total.div_(count.clamp(min=1)[..., None]), count > 0


def _intact(steps: Tensor, cells: Tensor, newest: Tensor, tokens: int) -> bool:
    """Whether the slots are the steps `newest`, whole and in the order of their cells, in every head."""
    if cells.shape[1] != len(newest) * tokens:
        return False
    shape = (len(newest), tokens)
    ordered = cells.unflatten(1, shape) == torch.arange(tokens, dtype=cells.dtype, device=cells.device)
    return bool((ordered & (steps.unflatten(1, shape) == newest[:, None])).all())


def _means_of_whole(keys: Tensor, steps: Tensor, tokens: int, content: ContentKeys | None) -> Tensor:
    """The same of whole steps in the order of their cells, whose keys are read where they lie."""
    total = keys.new_zeros(keys.shape[0], tokens, keys.shape[2], dtype=torch.float32)
    count = keys.shape[1] // tokens
    for some in chunks(count, total.numel(), _chunk(keys)):
        part = slice(some.start * tokens, some.stop * tokens)
        total += _units(keys[:, part], steps[:, part], content).unflatten(1, (-1, tokens)).sum(dim=1)
    return total.div_(count)


def _units(keys: Tensor, steps: Tensor, content: ContentKeys | None) -> Tensor:
    """A copy of `[heads, n, dim]` in float32, normalised; zero keys stay zero."""
    unit = (keys if content is None else content(keys, steps)).to(torch.float32, copy=True)
    return unit.div_(_norms(unit)[..., None])


def _taken(slots: Tensor, at: Tensor) -> Tensor:
    """Slots `at` `[heads, n]` of `[heads, slots, ...]`; a head at a time, for whole rows are copied faster."""
    return torch.stack([one.index_select(0, index) for one, index in zip(slots, at, strict=True)])


def _slots_of(steps: Tensor, cells: Tensor, newest: Tensor, tokens: int) -> Tensor:
    """Which slot holds each cell of the steps `newest`, int64 `[heads, r, tokens]`; -1 where none does."""
    rank = torch.searchsorted(newest, steps.contiguous())
    nowhere = len(newest) * tokens
    place = torch.where((cells >= 0) & (steps >= newest[0]), rank * tokens + cells, nowhere)
    slot = torch.arange(steps.shape[1], device=steps.device).expand_as(place)
    slot_of = place.new_full((len(steps), nowhere + 1), -1).scatter_(1, place, slot)
    return slot_of[:, :nowhere].view(len(steps), -1, tokens)


def _mixed(cell: Tensor, tokens: int) -> int:
    """How many slots come before those that are in the order of their cells, to the end and in every head.

    A memory is full of survivors; behind them lie the steps that are fresh.
    """
    count = cell.shape[1] // tokens
    ordered = cell[:, cell.shape[1] - count * tokens :].unflatten(1, (count, tokens))
    whole = (ordered == torch.arange(tokens, device=cell.device)).all(dim=2).all(dim=0)
    return cell.shape[1] - tokens * int(whole.flip(0).long().cumprod(0).sum())


def _compare_mixed(
    keys: Tensor, steps: Tensor, reference: Tensor, cell: Tensor, content: ContentKeys | None, out: Tensor
) -> None:
    """`K / ||K||` dot the reference of its cell, float32 `[heads, slots]`, to `out`; 0 for zero keys."""
    wide, products = reference.new_empty(2, _stride(keys, _chunk(keys)), keys.shape[2])
    norms = reference.new_empty(out.shape)
    for head, part, some in _widened(keys, steps, content, wide):
        torch.linalg.vector_norm(some, dim=-1, out=norms[head, part])
        product = torch.index_select(reference[head], 0, cell[head, part], out=products[: len(some)])
        torch.sum(product.mul_(some), dim=-1, out=out[head, part])
    out.div_(norms.clamp_(min=TINY))


def _compare_whole(keys: Tensor, steps: Tensor, reference: Tensor, content: ContentKeys | None, out: Tensor) -> None:
    """The same of whole steps in the order of their cells: no reference is gathered, and one buffer does for two."""
    tokens, dim = reference.shape[1:]
    wide = reference.new_empty(_stride(keys, 2 * _chunk(keys), tokens), dim)
    norms = reference.new_empty(out.shape)
    for head, part, some in _widened(keys, steps, content, wide):
        torch.linalg.vector_norm(some, dim=-1, out=norms[head, part])
        product = wide[: len(some)].view(-1, tokens, dim)
        torch.mul(some.view(product.shape), reference[head], out=product)
        torch.sum(product, dim=-1, out=out[head, part].view(-1, tokens))
    out.div_(norms.clamp_(min=TINY))


def _stride(keys: Tensor, size: int, tokens: int = 1) -> int:
    """How many slots of one head, whole steps of `tokens`, make a chunk of `size` elements."""
    return min(keys.shape[1], tokens * max(1, size // (tokens * keys.shape[2])))


def _widened(
    keys: Tensor, steps: Tensor, content: ContentKeys | None, wide: Tensor
) -> Iterator[tuple[int, slice, Tensor]]:
    """Keys in float32, as many at a time as `wide` has rows: which head, which of its slots, and `[n, dim]`.

    One head after the other, for its slots lie side by side. Keys of another type are copied to `wide`.
    """
    for head in range(len(keys)):
        for part in chunks(keys.shape[1], 1, len(wide)):
            one = slice(head, head + 1)
            some = keys[head, part] if content is None else content(keys[one, part], steps[one, part])[0]
            yield head, part, some if some.dtype == wide.dtype else wide[: len(some)].copy_(some)


def _norms(vectors: Tensor) -> Tensor:
    """Euclidean norms, nowhere zero."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return norms.clamp_(min=TINY)


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
