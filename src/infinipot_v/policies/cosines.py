"""TaR: how unlike the same cell's keys in the recent steps a past key is (arXiv 2506.15745).

Shapes: keys `[heads, slots, dim]` in any float type; `steps`, `cells` and the score `[heads, slots]`. Every head stands
for itself. Whatever has a `dim` axis is cut into pieces. Knows no cache and no layer.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from infinipot_v.grain import grain_of
from infinipot_v.policies.base import ContentKeys
from infinipot_v.policies.chunks import chunk_of, chunks, pieces

TINY = 1e-12
"""Norms below this count as zero, and a zero vector is at right angles to everything."""


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
    cell = _numbered(cells[:, :last], tokens)
    cosines, mixed = reference.new_empty(cell.shape), _mixed(cells[:, :last], tokens)
    _compare_mixed(keys[:, :mixed], steps[:, :mixed], reference, cell[:, :mixed], content, cosines[:, :mixed])
    _compare_whole(keys[:, mixed:last], steps[:, mixed:last], reference, content, cosines[:, mixed:])
    scores[:, :last] = _distinctness(cosines, past, cell, known)
    return scores


def _numbered(cells: Tensor, tokens: int) -> Tensor:
    """Cells of all heads in one row, head after head, int64 `[heads, slots]`; text counts as cell 0."""
    return cells.clamp(min=0).long().add_(tokens * torch.arange(len(cells), device=cells.device)[:, None])


def _distinctness(cosines: Tensor, past: Tensor, cell: Tensor, known: Tensor) -> Tensor:
    """TaR of slots from their cosines, which are overwritten; -inf where not `past`.

    `known` `[heads, tokens]` says which cells have a reference. Without one: the most distinct of the head.
    """
    scores = torch.where(past, cosines.neg_(), -torch.inf)
    if bool(known.all()):
        return scores
    strange = past & ~known.take(cell)
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
    for part in chunks(len(newest), total.numel(), chunk_of(keys)):  # each cell of a step is added once: no atomics
        index = slot_of[:, part].flatten(1)
        at = index.clamp(min=0)
        units = _units(_taken(keys, at), steps.gather(1, at), content).mul_((index >= 0)[..., None])
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
    for some in chunks(count, total.numel(), chunk_of(keys)):
        part = slice(some.start * tokens, some.stop * tokens)
        total += _units(keys[:, part], steps[:, part], content).unflatten(1, (-1, tokens)).sum(dim=1)
    return total.div_(count)


def _units(keys: Tensor, steps: Tensor, content: ContentKeys | None) -> Tensor:
    """A copy of `[heads, n, dim]` in float32, normalised; zero keys stay zero."""
    unit = (keys if content is None else content(keys, steps)).to(torch.float32, copy=True)
    return unit.div_(torch.linalg.vector_norm(unit, dim=-1, keepdim=True).clamp_(min=TINY))


def _taken(keys: Tensor, at: Tensor) -> Tensor:
    """Slots `at` `[heads, n]` of `[heads, slots, dim]`; a head at a time where whole rows are copied faster."""
    if grain_of(keys.device).by_head:
        return torch.stack([one.index_select(0, index) for one, index in zip(keys, at, strict=True)])
    return keys.gather(1, at[..., None].expand(*at.shape, keys.shape[2]))


def _slots_of(steps: Tensor, cells: Tensor, newest: Tensor, tokens: int) -> Tensor:
    """Which slot holds each cell of the steps `newest`, int64 `[heads, r, tokens]`; -1 where none does."""
    rank = torch.searchsorted(newest, steps.contiguous())
    nowhere = len(newest) * tokens
    place = torch.where((cells >= 0) & (steps >= newest[0]), rank * tokens + cells, nowhere)
    slot = torch.arange(steps.shape[1], device=steps.device).expand_as(place)
    slot_of = place.new_full((len(steps), nowhere + 1), -1).scatter_(1, place, slot)
    return slot_of[:, :nowhere].view(len(steps), -1, tokens)


def _mixed(cells: Tensor, tokens: int) -> int:
    """How many slots come before those that are in the order of their cells, to the end and in every head.

    A memory is full of survivors; behind them lie the steps that are fresh.
    """
    count = cells.shape[1] // tokens
    ordered = cells[:, cells.shape[1] - count * tokens :].unflatten(1, (count, tokens))
    whole = (ordered == torch.arange(tokens, dtype=cells.dtype, device=cells.device)).all(dim=2).all(dim=0)
    return cells.shape[1] - tokens * int(whole.flip(0).long().cumprod(0).sum())


def _compare_mixed(
    keys: Tensor, steps: Tensor, reference: Tensor, cell: Tensor, content: ContentKeys | None, out: Tensor
) -> None:
    """`K / ||K||` dot the reference of its cell, float32 `[heads, slots]`, to `out`; 0 for zero keys.

    `cell` numbers the cells of all heads, as `reference.flatten(0, 1)` has them.
    """
    rows, size = reference.flatten(0, 1), chunk_of(keys)
    products = _buffer(keys, size)
    norms = reference.new_empty(out.shape)
    for at, some in _widened(keys, steps, content, size, 1, _buffer(keys, size)):
        torch.linalg.vector_norm(some, dim=-1, out=norms[at])
        product = torch.index_select(rows, 0, cell[at].flatten(), out=products[: cell[at].numel()])
        torch.sum(product.view(some.shape).mul_(some), dim=-1, out=out[at])
    out.div_(norms.clamp_(min=TINY))


def _compare_whole(keys: Tensor, steps: Tensor, reference: Tensor, content: ContentKeys | None, out: Tensor) -> None:
    """The same of whole steps in the order of their cells: no reference is gathered, and one buffer does for two."""
    tokens = reference.shape[1]
    size = 2 * chunk_of(keys)
    wide = _buffer(keys, size, tokens)
    norms = reference.new_empty(out.shape)
    for at, some in _widened(keys, steps, content, size, tokens, wide):
        torch.linalg.vector_norm(some, dim=-1, out=norms[at])
        steps_of = some.unflatten(1, (-1, tokens))
        product = wide[: some[..., 0].numel()].view(steps_of.shape)
        torch.mul(steps_of, reference[at[0], None], out=product)
        torch.sum(product, dim=-1, out=out[at].unflatten(1, (-1, tokens)))
    out.div_(norms.clamp_(min=TINY))


def _buffer(keys: Tensor, size: int, unit: int = 1) -> Tensor:
    """Float32 rows for the largest piece of keys: see `pieces`."""
    heads, slots, dim = keys.shape
    return keys.new_empty(max(unit, min(heads * slots, size // dim)), dim, dtype=torch.float32)


def _widened(
    keys: Tensor, steps: Tensor, content: ContentKeys | None, size: int, unit: int, wide: Tensor
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Keys in float32, a piece at a time: which heads and slots, and `[some heads, n, dim]`.

    Keys of another type are copied to `wide`.
    """
    for at in pieces(keys.shape, size, unit):
        some = keys[at] if content is None else content(keys[at], steps[at])
        if some.dtype != wide.dtype:
            some = wide[: some[..., 0].numel()].view(some.shape).copy_(some)
        yield at, some
