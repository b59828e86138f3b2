"""ReKV (arXiv 2503.00540): watch through a sliding window, keep everything, fetch what a question is about.

frames -> the model encodes a step -> the language model prefills it, seeing prefix and window only -> all its keys and
values go to host memory or disk -> a question runs once, and in every layer fetches the steps that are most like it ->
it runs again, and is answered from prefix, fetched steps and window

Re-implemented, not checked against its authors' results. What the paper's summaries and its authors' code say: a
sliding window of local tokens while watching (its equation 1); blocks of one frame; internal retrieval, by the cosine
of the question's mean query with a block's mean key, heads laid side by side, each layer for itself; fetched blocks
take consecutive positions. From the authors' code: queries and keys are compared without their rotation, and the first
of two passes, which fetches, runs the question's own text without the chat template.

Departures:
- The window is made of whole steps, and a step is prefilled by itself: so the block size changes nothing.
- The window stays visible to the answer, behind the fetched steps; only steps outside it are fetched. (In the authors'
  code the answer sees the prefix and fetched steps alone, and steps inside the window can be fetched.)
- Cosines, as summaries of the paper say; the authors' code leaves the lengths in.
- With M-RoPE all tokens keep the positions they were seen at, and the stream ends where the model's positions end. With
  1-D RoPE (`positions="compact"`) positions are consecutive, as in the authors' code, the prefix right before the rest.
- Where a family writes text between frames, steps differ in length; the least similar fetched ones are then cut short
  by a few tokens, so that all layers fetch equally many (`relevance.portions`).
- The retriever outside the model (the paper's "external retrieval"), and keeping copies of fetched blocks on the
  device for the next question, are left out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infinipot_v.answering import Answering
from infinipot_v.dialogue import Dialogue, Prepared
from infinipot_v.fitting import check_next
from infinipot_v.generate import Decoding
from infinipot_v.models.base import Canvas, Model, check_text_tokens
from infinipot_v.peak import peak_bytes
from infinipot_v.positions import Clock
from infinipot_v.retrieval.cache import RetrievalCache
from infinipot_v.retrieval.report import RetrievalReport
from infinipot_v.retrieval.shelves import MEMORY
from infinipot_v.sources.frames import Watchable, as_frames
from infinipot_v.types import Answer, Block, Frame, UserError

LOCAL = 15_000
BLOCKS = 64
"""The authors' settings for every result: a window of 15,000 tokens, and 64 frames fetched."""
POSITIONS = ("original", "compact")


class ReKV:
    """One stream and all of it. Single-threaded; close it, or use it in a `with`, to remove what lies on disk.

    `local` is the window in tokens, `blocks` the steps that a question fetches in each layer, `where` either `memory`
    or a folder. The others are those of `Session`; `room` bounds dialogue, question and answer. `positions` are
    `compact` by default with 1-D RoPE (no end), and `original` with M-RoPE.
    """

    def __init__(
        self,
        model: Model,
        local: int = LOCAL,
        blocks: int = BLOCKS,
        *,
        where: str | Path = MEMORY,
        system: str | None = None,
        tokens_per_step: int | None = None,
        max_pixels: int | None = None,
        positions: str | None = None,
        block: int = 4,
        room: int = 512,
        text_tokens: int = 0,
        decoding: Decoding | None = None,
    ) -> None:
        """Raises `UserError` for options out of range, and for models and folders that cannot be used."""
        self._positions = positions or model.default_positions
        _check(local=local, blocks=blocks, block=block, room=room)
        check_text_tokens(text_tokens)
        self.model, self.room, self.where = model, room, str(where)
        self.decoding = decoding or Decoding()
        self.dialogue = Dialogue(model.prompt, system)
        self._prefix = model.prompt.prefix(system)
        self.cache = RetrievalCache(model.hf, local, blocks, where, self._rotary())
        self._resolution, self._text_tokens = (tokens_per_step, max_pixels), text_tokens
        self._block = block * model.frames_per_step
        self._canvas: Canvas | None = None
        self._clock: Clock
        self._waiting: list[Frame] = []
        self._frames = self._cut = 0
        self._first_seconds, self._last_seconds = 0.0, float("-inf")

    def _rotary(self) -> Any:
        if self._positions not in POSITIONS:
            raise UserError(f"unknown positions {self._positions!r}: choose {', '.join(POSITIONS)}")
        rotary = self.model.rotary() if self._positions == "compact" else None
        if rotary is not None and rotary.by_step:
            raise UserError("retrieval re-assigns positions on one axis only: use positions='original' for this model")
        return rotary

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget what is kept, and remove its files. Nothing can be watched or asked afterwards."""
        self.cache.close()

    # Watching ------------------------------------------------------------------------------------------------------

    def watch(self, source: Watchable, seconds: float | None = None, fps: float | None = None) -> None:
        """Watch a source, frames, or arrays; see `Session.watch`. A step is watched whole or not at all."""
        try:
            for frame in as_frames(source, seconds=seconds, fps=fps):
                newest = self._waiting[-1].seconds if self._waiting else self._last_seconds
                check_next(frame, newest, self._text_tokens)
                self._waiting.append(frame)
                if len(self._waiting) == self._block:
                    self._take()
        except Exception:
            self._take()  # the source failed, not the memory: whole steps that it gave before are watched
            raise
        self._take()

    def _take(self) -> None:
        """Watch all whole steps of the waiting frames."""
        waiting, self._waiting, each = self._waiting, [], self.model.frames_per_step
        if waiting and self._canvas is None:
            self._begin(waiting[0])
        whole = len(waiting) - len(waiting) % each
        self._waiting = waiting[whole:]
        if whole:
            block = self._encode(waiting[:whole])
            for step in range(len(block.seconds)):
                self._prefill(block.part(step, 1), waiting[step * each : (step + 1) * each])

    def _begin(self, frame: Frame) -> None:
        """The first frame fixes the grid; only then can the clock tick and the prefix be placed."""
        height, width, _ = frame.pixels.shape
        canvas = replace(self.model.canvas(height, width, *self._resolution), text=self._text_tokens)
        self._check_fit(self.model.step_tokens(canvas))
        clock = self.model.clock(len(self._prefix), canvas.grid)
        with self.cache.prefix(partial(self._started, canvas, replace(clock, reserve=self.room), frame.seconds)):
            self.model.prefill_text(self._prefix, clock.prefix_positions(), self.cache)

    def _check_fit(self, step: int) -> None:
        local, limit, most = self.cache.local, self.model.position_limit, len(self._prefix)
        if local < step:
            raise UserError(f"a window of {local} tokens is below one step ({step} tokens): raise local")
        if self._positions == "compact":
            most += local + max(step, self.cache.blocks * step + self.room)
        else:
            most += self.room + 1
        if limit is not None and most > limit:
            raise UserError(
                f"window, fetched steps and room take {most} positions, but the model was trained for {limit}: "
                "lower local, blocks or room"
            )

    def _started(self, canvas: Canvas, clock: Clock, seconds: float) -> None:
        self._canvas, self._clock, self._first_seconds = canvas, clock, seconds

    def _encode(self, frames: list[Frame]) -> Block:
        assert self._canvas is not None, "the first frame chooses the canvas"
        return self.model.encode(frames, self._canvas, first_step=len(self.cache.lengths))

    def _prefill(self, step: Block, frames: list[Frame]) -> None:
        positions, clock = self._now(self.cache.window_tokens).place(step)
        with self.cache.append(partial(self._commit, clock, frames)):
            self.model.prefill(step, positions, self.cache)

    def _now(self, visible: int) -> Clock:
        """The clock; with compact positions, behind the `visible` stream tokens."""
        return self._clock.at_rank(visible) if self._positions == "compact" else self._clock

    def _commit(self, clock: Clock, frames: list[Frame]) -> None:
        assert self._canvas is not None, "the first frame chooses the canvas"
        self._clock = clock
        self._cut += self.model.unsaid(frames, self._canvas)
        self._frames += len(frames)
        self._last_seconds = frames[-1].seconds

    # Asking --------------------------------------------------------------------------------------------------------

    def ask(self, question: str, *, remember: bool = True, decoding: Decoding | None = None) -> Answer:
        """Fetch, answer, and leave the memory exactly as it was, also after a failure; see `Session.ask`.

        `first_token_seconds` and `seconds` of the `Answer` begin when the steps have been fetched.
        """
        if self._canvas is None:
            raise UserError("nothing has been watched yet: watch a source first")
        decoding, waiting = decoding or self.decoding, self._provisional()
        room = self.room - sum(block.steps.numel() for block in waiting)
        prepared = self.dialogue.prepare(question, room, decoding.max_new_tokens)
        clock = replace(self._now(self.cache.window_tokens + self.cache.fetchable_tokens), reserve=0)
        try:
            if self.cache.fetchable_tokens:
                self._fetch(prepared, clock)
            answer = _finished(self._answering(prepared, decoding, waiting, clock))
        finally:
            self.cache.rest()
        if remember:
            self.dialogue.remember(answer.question, answer.text)
        return answer

    def _fetch(self, asked: Prepared, clock: Clock) -> None:
        """Run the question's own words, without the template, for the queries that they have in each layer."""
        ids = self.model.prompt.tokenizer(asked.question, add_special_tokens=False)["input_ids"] or asked.ids
        with self.cache.fetching():
            self.model.prefill_text(ids, clock.text_positions(len(ids)), self.cache)

    def _answering(
        self, asked: Prepared, decoding: Decoding, waiting: Sequence[Block], clock: Clock
    ) -> Generator[str, None, Answer]:
        cache: Any = self.cache  # an answer asks no more of it than that it is transformers' and rolls back
        shown = []
        for block in waiting:
            positions, clock = clock.place(block)
            shown.append((block, positions))
        return Answering(self.model, cache, clock, asked, decoding, shown).run()

    def _provisional(self) -> list[Block]:
        """A waiting frame is seen too: padded to a whole step by repeating it."""
        return [self._encode(self.model.standing(self._waiting))] if self._waiting else []

    # Reporting -----------------------------------------------------------------------------------------------------

    def report(self) -> RetrievalReport:
        """What is held and where, right now."""
        cache = self.cache
        return RetrievalReport(
            policy=f"ReKV(local={cache.local}, blocks={cache.blocks}, positions={self._positions!r})",
            where=self.where,
            held_tokens=cache.held_tokens,
            seen_tokens=cache.held_tokens,
            window_tokens=cache.window_tokens,
            prefix_tokens=cache.prefix_tokens,
            room_tokens=self.room,
            steps=len(cache.lengths),
            cut_tokens=self._cut,
            frames=self._frames + len(self._waiting),
            waiting_frames=len(self._waiting),
            seconds=max(0.0, self._last_seconds - self._first_seconds),
            kept_bytes=cache.kept_bytes,
            working_bytes=cache.working_bytes,
            peak_working_bytes=cache.peak_working,
            nbytes=cache.nbytes,
            peak_bytes=peak_bytes(self.model.device),
            position=self._now(cache.window_tokens).furthest if self._canvas else -1,
            position_limit=self.model.position_limit,
        )


def _finished(pieces: Generator[str, None, Answer]) -> Answer:
    """Read an answer to its end."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
            raise UserError(f"{name}={value!r} is out of range: give a whole number from 1 on")
