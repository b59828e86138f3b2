"""Vision once: every contender watches the same frames, so what the vision tower says of them is kept for one item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infinipot_v.models.base import Canvas, Model
from infinipot_v.types import Block, Frame

MOST = 2**30
"""Bytes of embeddings that are remembered of one item; what comes behind them is computed for each contender anew."""


class SharedVision:
    """A model whose `encode` remembers its blocks until `forget`; everything else is the model's own.

    Exact: a block depends on its frames, the canvas and the number of its first step, and those are the key.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._blocks: dict[tuple[object, ...], Block] = {}
        self._bytes = 0

    def encode(self, frames: Sequence[Frame], canvas: Canvas, first_step: int) -> Block:
        """See `Model.encode`. Frames are told apart by their times, which is enough within one item."""
        key = (first_step, canvas, tuple(frame.seconds for frame in frames))
        if key in self._blocks:
            return self._blocks[key]
        block = self._model.encode(frames, canvas, first_step)
        if self._bytes + block.embeddings.nbytes <= MOST:
            self._bytes += block.embeddings.nbytes
            self._blocks[key] = block
        return block

    def forget(self) -> None:
        """The next item has other frames."""
        self._blocks.clear()
        self._bytes = 0

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return getattr(self._model, name)
