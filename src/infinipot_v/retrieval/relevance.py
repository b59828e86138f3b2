"""Which blocks a question is about: ReKV's internal retrieval (arXiv 2503.00540, section 3, "internal retrieval")."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

TINY = 1e-12


def cosines(query: Tensor, means: Tensor) -> Tensor:
    """Cosine of a question's mean query `[query_heads, dim]` with every block's mean key `[blocks, heads, dim]`.

    Both are un-rotated and float32; heads are laid side by side into one vector, keys once for each query head that
    reads them. Returns `[blocks]`. No repeated key is ever made: a sum over a group's queries says the same.
    """
    _, heads, dim = means.shape
    groups = query.shape[0] // heads
    dots = means.flatten(1) @ query.view(heads, groups, dim).sum(1).flatten()
    lengths = means.flatten(1).norm(dim=1) * groups**0.5 * query.norm()
    scores: Tensor = dots / lengths.clamp(min=TINY)
    return scores


def ranking(scores: Tensor, count: int) -> list[int]:
    """The `count` best of `[blocks]`, best first; the newer one among equals."""
    newest_first = scores.flip(0).argsort(descending=True, stable=True)[:count]
    return [int(index) for index in len(scores) - 1 - newest_first.cpu()]


def promised(lengths: Sequence[int], count: int) -> int:
    """Tokens that any `count` blocks have at least: what every layer can fetch, whichever blocks it chooses."""
    return sum(sorted(lengths)[:count])


def portions(lengths: Sequence[int], order: Sequence[int], tokens: int) -> dict[int, int]:
    """How many tokens of each block in `order` are fetched, `tokens` in all: whole blocks, the last ones cut short.

    Blocks are cut only where a family writes text into the stream, so that blocks differ in length: one mask serves
    all layers of a model, so all must fetch equally many tokens.
    """
    left, taken = tokens, {}
    for block in order:
        taken[block] = min(lengths[block], left)
        left -= taken[block]
    return taken
