"""Pieces of what has a `dim` axis, so that no tensor of heads x slots x dim is ever made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from infinipot_v.grain import grain_of


def chunks(length: int, elements: int, size: int) -> Iterator[slice]:
    """Cut `range(length)` so that items of `elements` elements each make chunks of at most `size` elements."""
    stride = max(1, size // max(1, elements))
    return (slice(start, min(start + stride, length)) for start in range(0, length, stride))


def streamed(vectors: Tensor) -> Iterator[slice]:
    """Chunks of the slots of `[heads, slots, dim]`, of a size that suits the device."""
    heads, slots, dim = vectors.shape
    return chunks(slots, heads * dim, chunk_of(vectors))


def chunk_of(tensor: Tensor) -> int:
    """Elements of a chunk that suit the tensor's device."""
    return grain_of(tensor.device).chunk


def pieces(shape: Sequence[int], size: int, unit: int = 1) -> Iterator[tuple[slice, slice]]:
    """Cut `[heads, slots, dim]` into pieces of at most `size` elements, which heads and which of their slots.

    All slots of some heads, as many as go in; where not one head does, whole units of `unit` slots of one, at least
    one unit. So what is read lies side by side.
    """
    heads, slots, dim = shape
    if slots * dim <= size:
        for some in chunks(heads, slots * dim, size):
            yield some, slice(0, slots)
        return
    for head in range(heads):
        for part in chunks(-(-slots // unit), unit * dim, size):
            yield slice(head, head + 1), slice(unit * part.start, min(unit * part.stop, slots))
