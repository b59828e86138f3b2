"""The story: frames become steps, steps go into a capped cache, and questions are answered from what is there.

frames -> the model encodes a step -> the language model prefills it -> full? the policy names what stays and the
cache compacts itself in place -> a question decodes from what is there -> the cache rolls back -> the stream goes on
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from infinipot_v.answering import Answering
from infinipot_v.budget import Budget
from infinipot_v.cache import CappedCache
from infinipot_v.dialogue import Dialogue
from infinipot_v.generate import Decoding
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.models.base import Canvas, Model
from infinipot_v.peak import peak_bytes
from infinipot_v.policies.base import Policy
from infinipot_v.positions import Clock, Rotary, without_rotation
from infinipot_v.queries import probe
from infinipot_v.reduction.base import Reduction
from infinipot_v.reduction.block import Reduced
from infinipot_v.reduction.stream import Reducing
from infinipot_v.ring import Ring, Shown
from infinipot_v.sources.frames import Watchable, as_frames
from infinipot_v.types import Answer, Block, Frame, MemoryReport, UserError

POSITIONS = ("original", "compact", "hf")


class Session:
    """One stream and its memory. Single-threaded.

    `budget` is the hard cap (default: 6,144 tokens); `policy` a name or an instance; `system` replaces the template's
    system prompt. `tokens_per_step` (where the family's resolution is free, 128 by default) and `max_pixels` bound the
    resolution, which the first frame fixes for the session's life. `positions` are `original` (a token keeps the
    position it was seen at; the stream ends where the model's positions end), `compact` (re-assigned by rank among what
    is held; no end: choose it for live streams) or `hf` (transformers' own call). By default they are compact with 1-D
    RoPE and original with M-RoPE. `block` steps are encoded and prefilled together; it changes the speed and nothing
    else. `decoding` is the default of `ask` and `stream`. `reduce` leaves frames or tokens out before the language
    model (a name, or an instance: see `make_reduction`); `ring` shows it the last steps once more before a question
    (see `Ring`).
    """

    def __init__(
        self,
        model: Model,
        budget: Budget | None = None,
        policy: str | Policy = "infinipot-v",
        *,
        system: str | None = None,
        tokens_per_step: int | None = None,
        max_pixels: int | None = None,
        positions: str | None = None,
        block: int = 4,
        decoding: Decoding | None = None,
        reduce: str | Reduction | None = None,
        ring: int = 0,
    ) -> None:
        positions = positions or model.default_positions
        if positions not in POSITIONS:
            raise UserError(f"unknown positions {positions!r}: choose {', '.join(POSITIONS)}")
        if not 1 <= block <= 4096 or (tokens_per_step is not None and tokens_per_step < 1):
            raise UserError("tokens_per_step must be at least 1, and block from 1 to 4096")
        self.model = model
        self.decoding = decoding or Decoding()
        self.dialogue = Dialogue(model.prompt, system)
        self._prefix = model.prompt.prefix(system)
        self._reducing, self._ring = Reducing(reduce), Ring(ring)
        step_bytes = model.step_bytes(tokens_per_step)
        self.cache = CappedCache.from_model(
            model.hf, budget or Budget(tokens=6144), policy, prefix=len(self._prefix),
            rotary=model.rotary() if positions == "compact" else None,
            beside=ring * step_bytes + self._reducing.reduction.state_bytes(step_bytes, block * model.frames_per_step),
        )  # fmt: skip
        self._probe = self._probe_ids(system)
        self._resolution = (tokens_per_step, max_pixels)
        self._text_start = "hf" if positions == "hf" else "max"
        self._block = block * model.frames_per_step
        self._canvas: Canvas | None = None
        self._clock: Clock
        self._waiting: tuple[Frame, ...] = ()
        self._frames = self._steps = self._letterboxed = 0
        self._first_seconds, self._last_seconds = 0.0, float("-inf")
        self._answering: weakref.ref[Generator[str, None, Answer]] | None = None

    def _probe_ids(self, system: str | None) -> list[int] | None:
        """Token ids of the policy's probe, where it is a question. Raises `UserError` when the room cannot take it."""
        policy, room = self.cache.policy, self.cache.budget.room
        if not policy.needs_queries or policy.probe is None:
            return None
        ids = self.model.prompt.behind(system, [], policy.probe)
        self._check_probe(len(ids), room)
        return ids

    def _check_probe(self, tokens: int, room: int) -> None:
        if tokens > room:
            raise UserError(
                f"the policy {self.cache.policy.name} shows {tokens} tokens in the room before it compresses, and the "
                f"room has {room} slots: open one of at least {tokens} (--room, Budget(room=))"
            )

    # Watching ------------------------------------------------------------------------------------------------------

    def watch(self, source: Watchable, seconds: float | None = None, fps: float | None = None) -> None:
        """Watch a source, an iterable of frames, one `Frame`, or one uint8 `[height, width, 3]` array at `seconds`.

        Arrays in an iterable take their times from `fps`, counted on from `seconds` (0 if not given).
        A step is watched whole or not at all: after an exception the memory is that of the last whole step, and frames
        taken from the source behind it are gone (`report().frames` says how many were watched). Where two
        frames make a step, a single one waits. Raises `UserError` for frames that are no pictures or go back in time.
        """
        self._end_answer()
        taken: list[Frame] = []
        try:
            for frame in as_frames(source, seconds=seconds, fps=fps):
                self._check_time(frame, taken)
                taken.append(frame)
                if len(self._waiting) + len(taken) == self._block:
                    taken = self._take(taken)
        except Exception:
            # The source failed, not the memory: what it gave before is watched, as it would be frame by frame.
            self._take(taken)
            raise
        self._take(taken)

    def _take(self, frames: list[Frame]) -> list[Frame]:
        """Watch all whole steps of waiting and new frames; the rest waits. Returns `frames`, emptied."""
        ready = (*self._waiting, *self._reducing.shown(frames, self._waiting))
        frames.clear()
        if ready and self._canvas is None:
            self._begin(ready[0])
        whole = len(ready) - len(ready) % self.model.frames_per_step
        if whole:
            self._watch_steps(ready[:whole])
        self._waiting = ready[whole:]
        with deferred_interrupts():
            left_out = self._reducing.settle_rest()
            self._frames, self._last_seconds = self._frames + len(left_out), max([self._last_seconds, *left_out])
        return frames

    def _check_time(self, frame: Frame, taken: Sequence[Frame]) -> None:
        before = taken or self._waiting
        last = max(self._last_seconds, before[-1].seconds) if before else self._last_seconds
        if not frame.seconds > last:
            raise UserError(f"a frame at {frame.seconds:.3f} s follows one at {last:.3f} s: times must ascend")

    def _begin(self, frame: Frame) -> None:
        """The first frame fixes the grid; only then can the clock tick and the prefix be placed."""
        height, width, _ = frame.pixels.shape
        canvas = self.model.canvas(height, width, *self._resolution)
        self._check_fit(canvas)
        clock = self.model.clock(len(self._prefix), canvas.grid, self._text_start)
        with self.cache.prefix(partial(self._started, canvas, clock, frame.seconds)):
            self.model.prefill_text(self._prefix, clock.prefix_positions(), self.cache)

    def _check_fit(self, canvas: Canvas) -> None:
        tokens, room, limit = self.cache.tokens, self.cache.budget.room, self.model.position_limit
        step = self.model.step_tokens(canvas)
        if self.cache.policy.bounded and tokens < step:
            raise UserError(
                f"a budget of {tokens} tokens is below one step ({step} tokens at this resolution): "
                "raise the budget, or lower tokens_per_step (--tokens-per-step) where the model allows it"
            )
        if self.cache.policy.needs_queries and self._probe is None:
            self._check_probe(step, room)
        self._ring.check_room(step, self.model.frames_per_step, self.dialogue.least, room)
        if limit is not None and len(self._prefix) + room >= limit:
            raise UserError(
                f"a room of {room} leaves none of the model's {limit} positions to the video: lower the room"
            )
        most = self.cache.ranked_slots
        if limit is not None and most is not None and most > limit:
            raise UserError(
                f"prefix, budget and room take {most} positions, but the model was trained for {limit}: "
                f"lower the budget to at most {limit - most + tokens} tokens, or the room"
            )

    def _started(self, canvas: Canvas, clock: Clock, seconds: float) -> None:
        """Runs in one breath with the prefix's commit."""
        self._canvas, self._first_seconds = canvas, seconds
        self._clock = replace(clock, reserve=self.cache.budget.room)
        if clock.by_step and self.cache.rotation is None:
            self.cache.content_keys = partial(self._content_keys, self.model.rotary())

    def _watch_steps(self, frames: Sequence[Frame]) -> None:
        block, done = self._reducing.of(self._encode(frames)), 0
        while done < block.steps:
            # A block is split wherever a step would trigger a compaction, so that its size changes nothing.
            count = block.steps_within(self.cache.free_tokens, done)
            first, last = (step * self.model.frames_per_step for step in (done, done + count))
            self._prefill(block.part(done, count), frames[first:last])
            done += count

    def _encode(self, frames: Sequence[Frame]) -> Block:
        assert self._canvas is not None, "the first frame chooses the canvas"
        return self.model.encode(frames, self._canvas, first_step=self._steps)

    def _prefill(self, reduced: Reduced, frames: Sequence[Frame]) -> None:
        block = reduced.kept
        tokens = block.steps.numel()
        self.cache.make_room(tokens, self._queries(reduced) if tokens > self.cache.free_tokens else None)
        positions, clock = self._placed(reduced)
        self.cache.assign(clock.positions_of, clock.usable)
        ring = self._ring.after(reduced.block, None if self.cache.rotation else self._clock)
        commit = partial(self._commit, clock, reduced, ring, frames)
        if not tokens:  # a step of which nothing is left has been watched all the same
            with deferred_interrupts():
                return commit()
        assert self._canvas is not None, "the first frame chooses the canvas"
        with self.cache.append(block.steps, block.cells, self._canvas.grid, commit):
            self.model.prefill(block, positions, self.cache)
        if self.cache.rotation is None and clock.usable and clock.next_text > 0.8 * clock.usable:
            warnings.warn(
                f"80 % of the model's {clock.limit} positions are used; at 100 % watching stops: "
                "positions='compact' (--positions compact) has no end",
                stacklevel=4,
            )

    def _placed(self, reduced: Reduced) -> tuple[Tensor, Clock]:
        """Positions of what stays of steps to come, and the clock behind them."""
        return reduced.placed(self._now(len(reduced.kept.seconds)), compact=self.cache.rotation is not None)

    def _queries(self, reduced: Reduced) -> Mapping[int, Tensor] | None:
        """What a policy asks for right before a compaction: queries of its probe, or of the step that does not fit."""
        last = self.cache.policy.needs_queries
        if not last:
            return None
        if self._probe is None:
            return probe(self.model, self.cache, reduced.kept, self._placed(reduced)[0], last)
        positions = replace(self._now(), reserve=0).text_positions(len(self._probe))
        return probe(self.model, self.cache, self._probe, positions, last)

    def _now(self, steps: int = 0) -> Clock:
        """The clock; with compact positions, at the rank which the last compaction has left for `steps` to come."""
        ranks = self.cache.ranks_before(steps)
        return self._clock if ranks is None else self._clock.at_rank(ranks)

    def _content_keys(self, rotary: Rotary, keys: Tensor, steps: Tensor) -> Tensor:
        """Stored keys without the rotation of their own time, for policies that compare content."""
        return without_rotation(keys, self._clock.positions_of(steps), rotary)

    def _commit(self, clock: Clock, reduced: Reduced, ring: Ring, frames: Sequence[Frame]) -> None:
        """Runs in one breath with the cache's own commit: a step is watched whole or not at all."""
        self._clock, self._waiting, self._ring = clock, (), ring
        self._steps += reduced.steps
        self._frames += len(frames) + self._reducing.settle(reduced, frames[-1].seconds)
        self._letterboxed += sum(self._canvas is None or f.pixels.shape[:2] != self._canvas.source for f in frames)
        self._last_seconds = frames[-1].seconds

    # Asking --------------------------------------------------------------------------------------------------------

    def ask(self, question: str, *, remember: bool = True, decoding: Decoding | None = None) -> Answer:
        """Answer from the memory and leave it exactly as it was; see `stream`."""
        pieces = self.stream(question, remember=remember, decoding=decoding)
        while True:
            try:
                next(pieces)
            except StopIteration as end:
                answer: Answer = end.value
                return answer

    def check_question(self, question: str) -> None:
        """Raise what `ask` would for a question that is empty or too long for the room, before anything is watched."""
        model, room = self.model, self.cache.budget.room
        step = model.step_tokens(self._canvas) if self._canvas else model.most_step_tokens(self._resolution[0])
        self._ring.check_room(step, model.frames_per_step, self.dialogue.least, room)
        self.dialogue.check(question, room - self._ring.size * step)

    def stream(
        self, question: str, *, remember: bool = True, decoding: Decoding | None = None
    ) -> Generator[str, None, Answer]:
        """Answer piece by piece; the generator's return value is the `Answer`.

        The cache rolls back when the answer ends, fails, or its generator is closed or dropped. With `remember`, a
        finished turn joins the dialogue, which is text and is prefilled again, after the video, by the next question.
        Raises `UserError` for an empty question, before anything was watched, and when it does not fit the room.
        """
        self._end_answer()
        if self._canvas is None:
            raise UserError("nothing has been watched yet: watch a source first")
        decoding = decoding or self.decoding
        shown, clock = self._shown()
        room = self.cache.budget.room - sum(block.steps.numel() for block, _ in shown)
        prepared = self.dialogue.prepare(question, room, decoding.max_new_tokens)
        answering = self._remembering(Answering(self.model, self.cache, clock, prepared, decoding, shown), remember)
        self._answering = weakref.ref(answering)
        return answering

    def _remembering(self, answering: Answering, remember: bool) -> Generator[str, None, Answer]:
        answer = yield from answering.run()
        if remember:
            self.dialogue.remember(answer.question, answer.text)
        return answer

    def _shown(self) -> tuple[Shown, Clock]:
        """What the room shows before a question, and the clock behind it: the ring, and a frame that waits.

        A waiting frame is padded to a whole step by repeating it.
        """
        waits = bool(self._waiting)
        # A question may use the positions that steps leave free for it.
        clock = replace(self._now(waits), reserve=0)
        shown, clock = self._ring.shown(clock, self.cache.ranks_before(waits))
        if waits:
            missing = self.model.frames_per_step - len(self._waiting)
            provisional = self._encode((*self._waiting, *[self._waiting[-1]] * missing))
            positions, clock = clock.place(provisional)
            shown.append((provisional, positions))
        return shown, clock

    def _end_answer(self) -> None:
        """An answer that nobody finished reading ends before the session does anything else."""
        answering = None if self._answering is None else self._answering()
        if answering is not None:
            answering.close()
        self._answering = None

    # Reporting -----------------------------------------------------------------------------------------------------

    def report(self) -> MemoryReport:
        """What the memory holds, has seen and costs, right now."""
        cache, counters = self.cache, self.cache.counters
        notes = [note or {} for note in cache.notes]
        return MemoryReport(
            policy=repr(cache.policy),
            budget_tokens=cache.tokens,
            held_tokens=cache.held_tokens,
            seen_tokens=counters.seen_tokens,
            prefix_tokens=cache.prefix_tokens,
            room_tokens=cache.budget.room,
            steps=self._steps,
            frames=self._frames + len(self._waiting),
            waiting_frames=len(self._waiting),
            letterboxed_frames=self._letterboxed,
            reduced_frames=self._reducing.frames,
            reduced_tokens=self._reducing.tokens,
            seconds=max(0.0, self._last_seconds - self._first_seconds),
            compressions=counters.compressions,
            cap_bytes=cache.cap_bytes,
            nbytes=cache.nbytes + self._ring.nbytes + self._reducing.nbytes,
            peak_bytes=peak_bytes(self.model.device),
            position=self._now().furthest if self._canvas else -1,
            position_limit=self.model.position_limit,
            kernels=tuple(note.get("kernel") for note in notes),
            variations=tuple(note.get("variation") for note in notes),
        )
