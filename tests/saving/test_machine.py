"""Watch, ask, break off, fork, save, load and compress, in any order.

The model of what must be held is plain: a log of what was watched and compressed. Whatever else happened in between, a
session is to the bit what a new one is that did only that.
"""

from __future__ import annotations

import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from infinipot_v import Frame, Session, UserError
from tests.saving.memories import differences, opened

EXAMPLES, SOAK = 60, 2000
"""Orders that are tried, here and by `make soak`."""
FORKS = 2
PICTURES = np.random.default_rng(5).integers(0, 255, (64, 90, 140, 3), dtype=np.uint8)
OPTIONS = (
    {"policy": "infinipot-v"},
    {"policy": "infinipot-v", "ring": 1},
    {"policy": "infinipot-v", "positions": "compact"},
    {"policy": "sliding-window", "reduce": "near-duplicates"},
    {"policy": "uniform"},
)


@dataclass
class Log:
    """What must be held: frames watched and compressions, in their order, and the turns of the dialogue."""

    done: tuple[tuple[str, int], ...] = ()
    turns: tuple[tuple[str, str], ...] = ()

    @property
    def frames(self) -> int:
        return sum(count for what, count in self.done if what == "watch")


@dataclass
class Life:
    """A session, its log, and the plain session that has done only what is in it."""

    session: Session
    log: Log
    plain: Session


def pictures(first: int, count: int) -> list[Frame]:
    return [Frame(PICTURES[number % len(PICTURES)], float(number)) for number in range(first, first + count)]


class Memories(RuleBasedStateMachine):
    """One session, its forks, and files."""

    model = None

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._options: dict = {}
        self.lives: list[Life] = []
        self.files: list[tuple[Path, Log]] = []
        self.open_answer = None

    def _open(self) -> Session:
        return opened(self.model, **self._options, concurrent=FORKS)

    def _life(self, number: int) -> Life:
        return self.lives[number % len(self.lives)]

    @precondition(lambda self: not self.lives)
    @rule(options=st.sampled_from(OPTIONS))
    def begin(self, options: dict) -> None:
        self._options = dict(options)
        self.lives = [self._life_of(self._open(), Log())]

    @precondition(lambda self: self.lives)
    @rule(which=st.integers(0, 3), count=st.integers(1, 13))
    def watch(self, which: int, count: int) -> None:
        life = self._life(which)
        for session in (life.session, life.plain):
            session.watch(iter(pictures(life.log.frames, count)))
        life.log = Log((*life.log.done, ("watch", count)), life.log.turns)

    @precondition(lambda self: self.lives)
    @rule(which=st.integers(0, 3), question=st.sampled_from(["What?", "And then?"]), remember=st.booleans())
    def ask(self, which: int, question: str, remember: bool) -> None:
        life = self._life(which)
        if not life.log.frames:
            with pytest.raises(UserError, match="nothing has been watched"):
                life.session.ask(question)
            return
        answer = life.session.ask(question, remember=remember)
        if remember:
            turn = (question, life.session.model.prompt.plain(answer.text))
            life.log = Log(life.log.done, (*life.log.turns, turn))

    @precondition(lambda self: self.lives and self.lives[0].log.frames)
    @rule(pieces=st.integers(0, 3), ending=st.sampled_from(["close", "drop", "leave"]))
    def break_off(self, pieces: int, ending: str) -> None:
        """An answer that nobody reads to its end; left open, the next thing that happens ends it."""
        answer = self.lives[0].session.stream("What is there?")
        for _, _piece in zip(range(pieces), answer, strict=False):
            pass
        finished = answer.gi_frame is None
        if ending == "close" or finished:
            answer.close()
        self.open_answer = answer if ending == "leave" and not finished else None
        if finished:  # the answer was shorter than what was read of it
            life = self.lives[0]
            life.log = Log(life.log.done, (*life.log.turns, life.session.dialogue.turns[-1]))

    @precondition(lambda self: self.lives)
    @rule(which=st.integers(0, 3))
    def go_back_in_time(self, which: int) -> None:
        life = self._life(which)
        if life.log.frames:
            with pytest.raises(UserError, match="times must ascend"):
                life.session.watch(iter(pictures(life.log.frames - 1, 1)))

    @precondition(lambda self: self.lives)
    @rule(which=st.integers(0, 3), steps=st.integers(1, 6))
    def compact(self, which: int, steps: int) -> None:
        life = self._life(which)
        tokens = steps * life.session.cache.tokens // 6
        for session in (life.session, life.plain):
            session.compact(tokens)
        life.log = Log((*life.log.done, ("compact", tokens)), life.log.turns)

    @precondition(lambda self: self.lives)
    @rule()
    def fork(self) -> None:
        life = self.lives[0]
        if len(self.lives) <= life.session.settings.concurrent:
            self.lives.append(self._life_of(life.session.fork(), life.log))
            return
        with pytest.raises(UserError, match="forks live"):  # a fork has none of its own, nor has its file
            life.session.fork()

    @precondition(lambda self: len(self.lives) > 1)
    @rule()
    def drop_a_fork(self) -> None:
        self.lives.pop()
        gc.collect()

    @precondition(lambda self: self.lives)
    @rule(which=st.integers(0, 3), name=st.integers(0, 1))
    def save(self, which: int, name: int) -> None:
        life, path = self._life(which), Path(self._folder.name) / f"{name}.ivm.safetensors"
        assert life.session.save(path) == path.stat().st_size
        self.files = [(file, log) for file, log in self.files if file != path] + [(path, life.log)]

    @precondition(lambda self: self.files)
    @rule(which=st.integers(0, 3))
    def load(self, which: int) -> None:
        """The first session is gone, as if its process had been killed; one from a file takes its place."""
        path, log = self.files[which % len(self.files)]
        self.lives = [self._life_of(Session.load(path, self.model), log)]

    @invariant()
    def everything_is_as_if_nothing_else_had_happened(self) -> None:
        if self.open_answer is not None:
            self.lives[0].session._end_answer()
            self.open_answer = None
        for life in self.lives:
            session, plain = life.session, life.plain
            plain.dialogue.turns.clear()
            plain.dialogue.turns.extend(life.log.turns)
            assert not differences(session, plain), life.log
            report = session.report()
            assert report.nbytes <= report.cap_bytes and report.frames == life.log.frames
            assert report.held_tokens <= report.budget_tokens
            session.cache.check_integrity()
        if self.lives:
            own = self.lives[0].session
            assert own.report().nbytes == own.nbytes + sum(life.session.nbytes for life in self.lives[1:])

    def _life_of(self, session: Session, log: Log) -> Life:
        plain, frames = opened(self.model, **self._options), 0
        for what, count in log.done:
            if what == "compact":
                plain.compact(count)
                continue
            plain.watch(iter(pictures(frames, count)))
            frames += count
        return Life(session, log, plain)

    def teardown(self) -> None:
        self._folder.cleanup()


def tried(model, examples: int) -> None:
    """Try so many orders on a model."""
    Memories.model = model
    chosen = settings(
        max_examples=examples, stateful_step_count=12, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Memories, settings=chosen)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm"])
def test_any_order(loaded, family):
    tried(loaded(family), EXAMPLES // 2)


@pytest.mark.soak
@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm"])
def test_any_order_two_thousand_times(loaded, family):
    tried(loaded(family), SOAK // 2)


def test_past_failures(loaded):
    """Orders that once failed, or were likely to."""
    Memories.model = loaded("qwen2_5_vl")
    machine = Memories()
    try:
        machine.begin(OPTIONS[0])
        machine.save(0, 0)  # a memory of nothing
        machine.load(0)
        machine.watch(0, 1)  # a frame that waits
        machine.save(0, 0)
        machine.break_off(1, "leave")
        machine.everything_is_as_if_nothing_else_had_happened()
        machine.fork()
        machine.watch(1, 13)
        machine.compact(1, 1)
        machine.load(0)
        machine.watch(0, 13)
        machine.ask(0, "What?", True)
        machine.save(0, 1)
        machine.load(1)
        machine.everything_is_as_if_nothing_else_had_happened()
        machine.fork()
        machine.save(1, 0)  # a fork's own file
        machine.load(0)
        machine.fork()
        machine.everything_is_as_if_nothing_else_had_happened()
    finally:
        machine.teardown()
