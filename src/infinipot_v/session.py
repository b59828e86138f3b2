"""The story: frames become steps, steps go into a capped cache, and questions are answered from what is there.

frames -> the model encodes a step -> the language model prefills it -> full? the policy names what stays and the
cache compacts itself in place -> a question decodes from what is there -> the cache rolls back -> the stream goes on
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Generator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from infinipot_v.answering import Answering, finished
from infinipot_v.budget import Budget
from infinipot_v.cache import CappedCache
from infinipot_v.dialogue import Dialogue
from infinipot_v.fitting import check_fit, check_next, check_waiting, probe_ids
from infinipot_v.generate import Decoding
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.models.base import Canvas, Model
from infinipot_v.moment import Moment, SessionState, Settings, Setup
from infinipot_v.policies.base import Policy
from infinipot_v.positions import Clock, Rotary, without_rotation
from infinipot_v.queries import probe
from infinipot_v.reduction import make_reduction
from infinipot_v.reduction.base import Reduction
from infinipot_v.reduction.block import Reduced
from infinipot_v.reduction.stream import Reducing
from infinipot_v.reporting import report_of
from infinipot_v.ring import Ring, Shown
from infinipot_v.sources.frames import Watchable, as_frames
from infinipot_v.types import Answer, Block, Frame, MemoryReport, UserError


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
    (see `Ring`). `concurrent` forks may live at a time; the cap counts them. `text_tokens` may be said with a step: the
    `text` of its frames, which goes into the stream behind their picture; what is beyond is cut, and counted.
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
        concurrent: int = 0,
        text_tokens: int = 0,
    ) -> None:
        self.model = model
        self.decoding = decoding or Decoding()
        positions = positions or model.default_positions
        self.settings = Settings(
            positions, system, tokens_per_step, max_pixels, block, make_reduction(reduce), ring, concurrent, text_tokens
        )
        self.dialogue = Dialogue(model.prompt, system)
        self._prefix = model.prompt.prefix(system)
        self.cache = CappedCache.from_model(
            model.hf, budget or Budget(tokens=6144), policy, prefix=len(self._prefix),
            rotary=model.rotary() if self.settings.positions == "compact" else None,
            beside=self.settings.beside(model), concurrent=concurrent,
        )  # fmt: skip
        self._probe = probe_ids(model, self.cache, system)
        self._reducing = Reducing(self.settings.reduction)
        self._at = Moment(Ring(ring))
        self._answering: weakref.ref[Generator[str, None, Answer]] | None = None
        self._forks: weakref.WeakSet[Session] = weakref.WeakSet()
        self.restored = ""

    @property
    def setup(self) -> Setup:
        """What this session is made of beside its model."""
        return Setup(self.cache.budget, self.cache.policy, self.decoding, self.settings)

    @property
    def newest(self) -> float:
        """The time in seconds of the last frame it has taken, waiting or not; minus infinity before any."""
        return self._at.newest

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
                check_next(frame, taken[-1].seconds if taken else self._at.newest, self.settings.text_tokens)
                taken.append(frame)
                if len(self._at.waiting) + len(taken) == self.settings.block * self.model.frames_per_step:
                    taken = self._take(taken)
        except Exception:
            # The source failed, not the memory: what it gave before is watched, as it would be frame by frame.
            self._take(taken)
            raise
        self._take(taken)

    def _take(self, frames: list[Frame]) -> list[Frame]:
        """Watch all whole steps of waiting and new frames; the rest waits. Returns `frames`, emptied."""
        ready = (*self._at.waiting, *self._reducing.shown(frames, self._at.waiting))
        frames.clear()
        if ready and self._at.canvas is None:
            self._begin(ready[0])
        whole = len(ready) - len(ready) % self.model.frames_per_step
        if whole:
            self._watch_steps(ready[:whole])
        with deferred_interrupts():
            self._at = self._at.resting(ready[whole:], self._reducing.settle_rest())
        return frames

    def _begin(self, frame: Frame) -> None:
        """The first frame fixes the grid; only then can the clock tick and the prefix be placed."""
        height, width, _ = frame.pixels.shape
        canvas = self._canvas_for(height, width)
        clock = self.model.clock(len(self._prefix), canvas.grid, "hf" if self.settings.positions == "hf" else "max")
        with self.cache.prefix(partial(self._started, canvas, clock, frame.seconds)):
            self.model.prefill_text(self._prefix, clock.prefix_positions(), self.cache)

    def _canvas_for(self, height: int, width: int) -> Canvas:
        """The resolution of a stream whose first frame has this size. Raises `UserError` where it fits no memory."""
        own = self.settings
        canvas = self.model.canvas(height, width, own.tokens_per_step, own.max_pixels)
        canvas = replace(canvas, text=own.text_tokens)
        check_fit(self.model, self.cache, canvas, len(self._prefix))
        self._check_ring(self.model.step_tokens(canvas))
        return canvas

    def _check_ring(self, step: int) -> None:
        room = self.cache.budget.room
        self._at.ring.check_room(step, self.model.frames_per_step, self.dialogue.least, room)

    def _started(self, canvas: Canvas, clock: Clock, seconds: float) -> None:
        """Runs in one breath with the prefix's commit."""
        clock = replace(clock, reserve=self.cache.budget.room, listening=canvas.text > 0)
        self._at = self._at.begun(canvas, clock, seconds)
        self._show_content()

    def _show_content(self) -> None:
        """Policies may compare keys without the rotation of their time, where that is stored with them."""
        if self._at.clock is not None and self._at.clock.by_step and self.cache.rotation is None:
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
        assert self._at.canvas is not None, "the first frame chooses the canvas"
        return self.model.encode(frames, self._at.canvas, first_step=self._at.steps)

    def _prefill(self, reduced: Reduced, frames: Sequence[Frame]) -> None:
        block = reduced.kept
        tokens = block.steps.numel()
        self.cache.make_room(tokens, self._queries(reduced) if tokens > self.cache.free_tokens else None)
        positions, clock = self._placed(reduced)
        self.cache.assign(clock.positions_of, clock.usable)
        ring = self._at.ring.after(reduced.block, None if self.cache.rotation else self._at.clock)
        assert self._at.canvas is not None, "the first frame chooses the canvas"
        commit = partial(self._commit, clock, reduced, ring, self.model.unsaid(frames, self._at.canvas), frames)
        if not tokens:  # a step of which nothing is left has been watched all the same
            with deferred_interrupts():
                return commit()
        with self.cache.append(block.steps, block.cells, self._at.canvas.grid, commit):
            self.model.prefill(block, positions, self.cache)
        if self.cache.rotation is None and clock.usable and clock.next_text > 0.8 * clock.usable:
            warnings.warn(
                f"80 % of the model's {clock.limit} positions are used; at 100 % watching stops: "
                "positions='compact' (--positions compact) has no end",
                stacklevel=4,
            )

    def _placed(self, reduced: Reduced) -> tuple[Tensor, Clock]:
        """Positions of what stays of steps to come, and the clock behind them."""
        return reduced.placed(self._now(reduced.kept.ranks), compact=self.cache.rotation is not None)

    def _queries(self, reduced: Reduced | None) -> Mapping[int, Tensor] | None:
        """What a policy asks for right before a compaction: queries of its probe, or of the step that does not fit."""
        last = self.cache.policy.needs_queries
        if not last:
            return None
        if self._probe is None:
            if reduced is None:
                name = self.cache.policy.name
                raise UserError(f"the policy {name} chooses by the step that does not fit: it compresses only then")
            return probe(self.model, self.cache, reduced.kept, self._placed(reduced)[0], last)
        positions = replace(self._now(), reserve=0).text_positions(len(self._probe))
        return probe(self.model, self.cache, self._probe, positions, last)

    def _now(self, coming: int = 0) -> Clock:
        """The clock; with compact positions, at the rank that is left for so many to come."""
        clock, ranks = self._at.clock, self.cache.ranks_before(coming)
        assert clock is not None, "the first frame starts the clock"
        return clock if ranks is None else clock.at_rank(ranks)

    def _content_keys(self, rotary: Rotary, keys: Tensor, steps: Tensor) -> Tensor:
        """Stored keys without the rotation of their own time, for policies that compare content."""
        assert self._at.clock is not None, "the first frame starts the clock"
        return without_rotation(keys, self._at.clock.positions_of(steps), rotary)

    def _commit(self, clock: Clock, reduced: Reduced, ring: Ring, cut: int, frames: Sequence[Frame]) -> None:
        """Runs in one breath with the cache's own commit: a step is watched whole or not at all."""
        left_out = self._reducing.settle(reduced, frames[-1].seconds)
        self._at = self._at.after(frames, reduced.steps, left_out, cut, clock, ring)

    # Asking --------------------------------------------------------------------------------------------------------

    def ask(self, question: str, *, remember: bool = True, decoding: Decoding | None = None) -> Answer:
        """Answer from the memory and leave it exactly as it was; see `stream`."""
        return finished(self.stream(question, remember=remember, decoding=decoding))

    def answering(self, question: str, *, decoding: Decoding | None = None) -> Answering:
        """An answer that has not begun, for who wants its logits; good until the session does something else.

        Raises `UserError` as `stream` does.
        """
        self._end_answer()
        if self._at.canvas is None:
            raise UserError("nothing has been watched yet: watch a source first")
        shown, clock = self._shown()
        room = self.cache.budget.room - sum(block.steps.numel() for block, _ in shown)
        decoding = decoding or self.decoding
        prepared = self.dialogue.prepare(question, room, decoding.max_new_tokens)
        return Answering(self.model, self.cache, clock, prepared, decoding, shown)

    def check_question(self, question: str) -> None:
        """Raise what `ask` would for a question that is empty or too long for the room, before anything is watched."""
        model, room = self.model, self.cache.budget.room
        canvas = self._at.canvas
        own = self.settings
        step = model.step_tokens(canvas) if canvas else model.most_step_tokens(own.tokens_per_step) + own.text_tokens
        check_waiting(model, own.text_tokens, step, room)
        self._check_ring(step)
        self.dialogue.check(question, room - self._at.ring.size * step)

    def stream(
        self, question: str, *, remember: bool = True, decoding: Decoding | None = None
    ) -> Generator[str, None, Answer]:
        """Answer piece by piece; the generator's return value is the `Answer`.

        The cache rolls back when the answer ends, fails, or its generator is closed or dropped. With `remember`, a
        finished turn joins the dialogue, which is text and is prefilled again, after the video, by the next question.
        Raises `UserError` for an empty question, before anything was watched, and when it does not fit the room.
        """
        answering = self._remembering(self.answering(question, decoding=decoding), remember)
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
        provisional = self._provisional()
        ranks = provisional.ranks if provisional else 0
        # A question may use the positions that steps leave free for it.
        clock = replace(self._now(ranks), reserve=0)
        shown, clock = self._at.ring.shown(clock, self.cache.ranks_before(ranks))
        if provisional:
            positions, clock = clock.place(provisional)
            shown.append((provisional, positions))
        return shown, clock

    def _provisional(self) -> Block | None:
        """The step that waiting frames would make."""
        return self._encode(self.model.standing(self._at.waiting)) if self._at.waiting else None

    def _end_answer(self) -> None:
        """An answer that nobody finished reading ends before the session does anything else."""
        answering = None if self._answering is None else self._answering()
        if answering is not None:
            answering.close()
        self._answering = None

    # Keeping -------------------------------------------------------------------------------------------------------

    def compact(self, tokens: int) -> None:
        """Compress the memory to `tokens` now, by its policy, if it holds more; when it is full it does so by itself.

        Raises `UserError` for the full cache, and for a policy that chooses by the step which does not fit.
        """
        self._end_answer()
        if not self.cache.policy.bounded or tokens < 0:
            raise UserError(f"the policy {self.cache.policy.name} cannot compress to {tokens} tokens")
        if tokens < self.cache.held_tokens:
            self.cache.compact(tokens, self._queries(None))

    def save(self, path: str | Path, *, extra: Mapping[str, object] | None = None) -> int:
        """Write the memory to a file (`.ivm.safetensors`) and return its bytes; an unfinished answer ends first.

        All or nothing: what was at `path` stays until the new file is whole and on the disk. The file holds what has
        been watched in whole steps, and frames that wait; `extra` is kept as it is, and must be JSON. Raises
        `SaveError` (a `UserError`) when it cannot be written; the session goes on as if nothing had been tried.
        """
        from infinipot_v.saving import write_memory

        self._end_answer()
        return write_memory(path, self.model, self.setup, self.state(copy=False), self.report(), extra or {})

    @classmethod
    def load(cls, path: str | Path, model: Model, *, budget: Budget | None = None) -> Session:
        """Open a saved memory in front of the model it was made with: it answers, and watches on, as it would have.

        In float32 on the same machine that is exact to the bit. Another device or dtype is possible, and
        `report().restored` says so. A smaller `budget` than the file's compresses the memory once, by its own policy.
        Raises `SaveError` for a file that is damaged, too new, or of another model: it names what differs.
        """
        from infinipot_v.keeping import load_session

        return load_session(path, model, budget)

    def fork(self) -> Session:
        """A second session with the same memory; from here on, each goes its own way. They share only the model.

        Raises `UserError` unless the session was opened with `concurrent` forks, and one of them is left.
        """
        from infinipot_v.keeping import fork_session

        self._end_answer()
        fork = fork_session(self, self._forks)
        self._forks.add(fork)
        return fork

    def state(self, *, copy: bool = True) -> SessionState:
        """All that moves, as a value: copied, or with views of the slots, good until the session does something."""
        cache = self.cache.snapshot(copy=copy)
        state = SessionState(self._at, self._reducing.state(), tuple(self.dialogue.turns), replace(cache, stores=()))
        return replace(deepcopy(state) if copy else state, cache=cache)

    def restore(self, state: SessionState) -> None:
        """Take up a state of a session that was set up alike, of no larger memory. Raises `UserError` for another."""
        self._end_answer()
        canvas = state.moment.canvas
        if canvas is not None and canvas != self._canvas_for(*canvas.source):
            raise UserError(f"the memory was made at another resolution than this model's: {canvas.pixels}")
        self.cache.restore(state.cache)
        self._reducing.restore(state.reduced)
        self.dialogue.turns[:] = state.turns
        self._at = state.moment
        if self._at.clock is not None:
            self.cache.assign(self._at.clock.positions_of, self._at.clock.usable)
            self._show_content()

    # Reporting -----------------------------------------------------------------------------------------------------

    def report(self) -> MemoryReport:
        """What the memory holds, has seen and costs, right now."""
        forks = sum(fork.nbytes for fork in self._forks)
        return report_of(self.model, self.cache, self._at, self._reducing, self.nbytes + forks, self.restored)

    @property
    def nbytes(self) -> int:
        """Bytes of everything this session keeps, its forks excluded."""
        return self.cache.nbytes + self._at.ring.nbytes + self._reducing.nbytes
