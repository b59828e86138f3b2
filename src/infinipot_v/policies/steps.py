"""What the labels of the slots say: which steps are the newest, which are whole, which text belongs to which step.

Labels are `steps` and `cells`, integers `[heads, slots]`; cell -1 is text. Step ids grow but may leave gaps, and
after a compaction every head holds different ones. Nothing here looks at a key or a value.
"""

from __future__ import annotations

import torch
from torch import Tensor


def no_text(cells: Tensor) -> bool:
    """Whether no slot holds text: on a CPU the least cell is found ten times sooner than a mask is made."""
    return cells.numel() == 0 or int(cells.min()) >= 0


def newest_steps(steps: Tensor, cells: Tensor, count: int) -> Tensor:
    """The at most `count` newest step ids that hold a vision token in any head, ascending `[<= count]`."""
    seen = steps if no_text(cells) else steps[cells >= 0]
    runs = torch.unique_consecutive(seen)  # first, for what is left to sort is short
    ids: Tensor = torch.unique(runs)
    return ids[max(0, len(ids) - count) :]


def vision_counts(steps: Tensor, cells: Tensor, ids: Tensor) -> Tensor:
    """Vision tokens of each step of `ids` (ascending, without holes above `ids[0]`), int64 `[heads, len(ids)]`."""
    head, slot = ((cells >= 0) & (steps >= ids[0])).nonzero(as_tuple=True)
    rank = torch.searchsorted(ids, steps[head, slot])
    counts = torch.zeros(len(steps), len(ids), dtype=torch.long, device=steps.device)
    return counts.index_put_((head, rank), torch.ones_like(rank), accumulate=True)


def whole_steps(steps: Tensor, cells: Tensor, tokens: int, most: int) -> int:
    """How many of the newest steps, counted back from the present, have all `tokens` cells in every head; <= `most`."""
    ids = newest_steps(steps, cells, most)
    if len(ids) == 0:
        return 0
    whole = (vision_counts(steps, cells, ids) == tokens).all(dim=0)
    return int(whole.flip(0).long().cumprod(0).sum())


def with_text(scores: Tensor, steps: Tensor, cells: Tensor) -> Tensor:
    """Give each text slot the best score among its own step's cells in that head, -inf if it has none [ours].

    `scores` float32 `[heads, slots]`; what stands at text slots is ignored. The paper has no text in the stream;
    a timestamp is worth as much as the best of what it stamps.
    """
    if no_text(cells):
        return scores
    text = cells < 0
    ids, rank = torch.unique(steps, return_inverse=True)
    best = scores.new_full((len(scores), len(ids)), -torch.inf)
    best.scatter_reduce_(1, rank, scores.masked_fill(text, -torch.inf), "amax")
    return torch.where(text, best.gather(1, rank), scores)
