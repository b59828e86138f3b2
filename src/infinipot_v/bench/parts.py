"""Where the time of a step goes: decoding, preprocessing, vision, prefill, compaction, and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from infinipot_v.models.base import Canvas, Model
from infinipot_v.models.stand_in import stand_in
from infinipot_v.session import Session
from infinipot_v.types import Block, Frame

PARTS = ("decode", "preprocess", "vision", "prefill", "compaction", "rest")


class Stopwatch:
    """Seconds by part, on `clock`. A part that begins inside another interrupts it, so nothing is counted twice."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running: str | None = None
        self._since = 0.0
        self.seconds: dict[str, float] = {}

    def switch(self, part: str | None) -> str | None:
        """From now on time belongs to `part`; returns to whom it belonged."""
        moment, before = self._clock(), self._running
        if before is not None:
            self.seconds[before] = self.seconds.get(before, 0.0) + moment - self._since
        self._running, self._since = part, moment
        return before

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time inside this block belongs to `name`."""
        before = self.switch(name)
        try:
            yield
        finally:
            self.switch(before)

    def take(self) -> dict[str, float]:
        """What was counted since the last call."""
        taken, self.seconds = self.seconds, {}
        return taken


def timed(model: Model, watch: Stopwatch) -> Model:
    """`model`, whose encoding and prefill are counted. Call `listening` for the border between pixels and vision."""

    def encode(frames: Sequence[Frame], canvas: Canvas, first_step: int) -> Block:
        with watch.part("preprocess"):
            return model.encode(frames, canvas, first_step)

    def prefill(block: Block, positions: Any, cache: Any) -> None:
        with watch.part("prefill"):
            model.prefill(block, positions, cache)

    return stand_in(model, encode=encode, prefill=prefill)


@contextmanager
def listening(session: Session, watch: Stopwatch) -> Iterator[None]:
    """Count vision, which begins where the first module outside the language model does, and compactions."""
    hf = session.model.hf
    outside = [child for child in hf.base_model.children() if child is not hf.get_decoder()]
    hooks = [child.register_forward_pre_hook(lambda _m, _a: _seeing(watch)) for child in outside]
    compact = session.cache.compact

    def counted(*arguments: Any) -> None:
        with watch.part("compaction"):
            compact(*arguments)

    session.cache.compact = counted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        session.cache.compact = compact  # type: ignore[method-assign]
        for hook in hooks:
            hook.remove()


def _seeing(watch: Stopwatch) -> None:
    watch.switch("vision")
