"""The retrieval cache: all steps on the shelves, a window of them on the device, and blocks fetched for a question.

It chooses no position and runs no model. Unlike `CappedCache` it has no cap: the shelves grow with the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.cache_utils import Cache

from infinipot_v.cache.checks import NonFiniteError
from infinipot_v.cache.layers import plan_layers
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.positions import Rotary
from infinipot_v.retrieval.layers import Arrival, RetrievalLayer, Wish, check_audible, listening
from infinipot_v.retrieval.relevance import promised
from infinipot_v.retrieval.shelves import Shelves
from infinipot_v.types import UserError


class RetrievalCache(Cache):
    """Keys and values of one whole stream. `local` is the window in tokens, `blocks` what a question may fetch.

    `lengths` are the tokens of every step kept; the last `window_steps` of them lie on the device too. `peak_working`
    is the most bytes that the device has held of it.
    """

    layers: list[RetrievalLayer]  # type: ignore[assignment]

    def __init__(self, hf: Any, local: int, blocks: int, where: str | Path, rotary: Rotary | None = None) -> None:
        """Raises `UserError` for a model with layers of other kinds, and for a folder that cannot be used."""
        plan = plan_layers(hf)
        if len(plan.shapes) != len(plan.layers):
            raise UserError("retrieval keeps full-attention layers only, and this model has others: choose a policy")
        self._decoder = hf.get_decoder()
        check_audible(self._decoder)
        self.local, self.blocks = local, blocks
        shapes = [plan.shapes[index] for index in range(len(plan.layers))]
        self.shelves = Shelves(where, shapes)
        self.lengths: list[int] = []
        self.window_steps = 0
        self.peak_working = 0
        pairs = zip(shapes, self.shelves.layers, strict=True)
        super().__init__(layers=[RetrievalLayer(shape, shelf, rotary) for shape, shelf in pairs])

    # What it holds -------------------------------------------------------------------------------------------------

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the prefix, which is never on a shelf."""
        return self.layers[0].prefix.tokens

    @property
    def held_tokens(self) -> int:
        """Stream tokens kept a layer and head: all that were ever seen."""
        return sum(self.lengths)

    @property
    def window_tokens(self) -> int:
        """Stream tokens that lie on the device; at most `local`."""
        return sum(self.lengths[len(self.lengths) - self.window_steps :])

    @property
    def outside(self) -> list[int]:
        """Tokens of every step that is no longer in the window, oldest first: what a question may fetch."""
        return self.lengths[: len(self.lengths) - self.window_steps]

    @property
    def fetchable_tokens(self) -> int:
        """Tokens that the next question fetches, in every layer."""
        return promised(self.outside, self.blocks)

    @property
    def chosen(self) -> tuple[tuple[int, ...], ...]:
        """The steps that each layer has fetched for the question in progress; empty at rest."""
        return tuple(layer.chosen for layer in self.layers)

    @property
    def kept_bytes(self) -> int:
        """Bytes on the shelves: host memory, or files."""
        return self.shelves.nbytes

    @property
    def working_bytes(self) -> int:
        """Bytes on the device right now."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def nbytes(self) -> int:
        """Bytes of everything, wherever it lies. The window lies on its shelf as well, and counts twice."""
        return self.kept_bytes + self.working_bytes

    # Writing -------------------------------------------------------------------------------------------------------

    @contextmanager
    def prefix(self, on_commit: Callable[[], None]) -> Iterator[None]:
        """Write the prefix, in one forward, before any step; all or nothing, `on_commit` in the same breath."""
        with self._writing():
            yield
            written = [layer.arrived().step for layer in self.layers]
            with deferred_interrupts():
                for layer, stretch in zip(self.layers, written, strict=True):
                    layer.prefix = stretch
                on_commit()

    @contextmanager
    def append(self, on_commit: Callable[[], None]) -> Iterator[None]:
        """Write one step, in one forward. All or nothing, on the shelves too; `on_commit` runs in the same breath."""
        kept = len(self.lengths)
        try:
            with self._writing():
                yield
                arrivals = [layer.arrived() for layer in self.layers]
                _check_finite(arrivals, kept)
                for layer, arrival in zip(self.layers, arrivals, strict=True):
                    layer.shelf.put(arrival.step)
                self._measure()
                with deferred_interrupts():
                    for layer, arrival in zip(self.layers, arrivals, strict=True):
                        layer.window.append(arrival.step)
                        layer.means.append(arrival.mean)
                    self.lengths.append(arrivals[0].step.tokens)
                    self._slide()
                    on_commit()
        finally:
            if len(self.lengths) == kept:
                for layer in self.layers:
                    layer.shelf.cut(kept)

    def _slide(self) -> None:
        """Whole steps leave the window, oldest first, until it holds at most `local` tokens."""
        self.window_steps += 1
        while self.window_tokens > self.local:
            self.window_steps -= 1
            for layer in self.layers:
                layer.window.popleft()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.rest()
        for layer in self.layers:
            layer.keeping = True
        try:
            with listening(self._decoder, self.layers):
                yield
        finally:
            self.rest()

    # Answering -----------------------------------------------------------------------------------------------------

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """The forward in the body is a question's: each layer fetches by it. Its own tokens are forgotten behind it."""
        self.rest()
        lengths = self.outside
        count = min(self.blocks, len(lengths))
        for layer in self.layers:
            layer.wish = Wish(lengths, count, promised(lengths, count))
        with listening(self._decoder, self.layers):
            yield
        self.rollback()

    def rollback(self) -> None:
        """Forget question and answer; what was fetched stays until `rest`."""
        self._measure()
        for layer in self.layers:
            layer.room = layer.empty

    def rest(self) -> None:
        """Back to prefix and window."""
        for layer in self.layers:
            layer.rest()

    def close(self) -> None:
        """Forget the shelves and remove their files."""
        self.shelves.close()

    def _measure(self) -> None:
        self.peak_working = max(self.peak_working, self.working_bytes)


def _check_finite(arrivals: Sequence[Arrival], step: int) -> None:
    """Raise `NonFiniteError` where a step has brought NaN or infinity: a sum is finite only if all its terms are."""
    sums = [a.mean.sum() + a.step.values.sum(dtype=torch.float32) for a in arrivals]
    finite = torch.stack([total.to(sums[0].device) for total in sums]).isfinite()
    if not bool(finite.all()):
        layer = int(finite.logical_not().nonzero()[0])
        raise NonFiniteError(
            f"NaN or infinity in layer {layer} at step {step}; the step was not kept. "
            "Try dtype=float32 or bfloat16, or look at the frames"
        )
