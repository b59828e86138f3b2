"""What is asked of a day: every thing of it, again and again, seconds to hours after it has left the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from infinipot_v.evaluate.base import Asked
from infinipot_v.pocket import Question, Stream, make_stream
from infinipot_v.pocket.facts import facts_at
from infinipot_v.pocket.questions import ASKERS
from infinipot_v.pocket.scene import FRAMES_PER_STEP, Thing

DELAYS = (4, 16, 60, 240, 900, 3600, 4 * 3600, 16 * 3600)
"""Seconds after a thing has left the picture at which it is asked about."""
KINDS = ("attribute", "what", "place", "choice", "yesno")
"""What can be asked about one thing alone."""
TRIES = 60
LATE = 64
"""Steps after the wished moment in which one may be found at which nothing is half seen."""


@dataclass(frozen=True)
class Day:
    """One stream of the embedded world, `steps` steps of two seconds: a seed's, with all that it asks."""

    seed: int
    steps: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.steps * FRAMES_PER_STEP)

    @cached_property
    def stream(self) -> Stream:
        """The stream; however long it is, at most 18 things appear in it."""
        return make_stream(self.seed, self.steps)

    @cached_property
    def questions(self) -> tuple[Asked, ...]:
        """All questions by the time at which they are asked; what they are about has left the picture before."""
        things = enumerate(self.stream.scene.things)
        drawn = {(q.text, q.ask_at): q for number, thing in things for q in self._of(number, thing)}
        return _asked(sorted(drawn.values(), key=lambda question: question.ask_at))

    @cached_property
    def last(self) -> tuple[Asked, ...]:
        """What is asked when the day is over, of all things alike."""
        random, end = Random(f"day's end:{self.seed}:{self.steps}"), self.stream.scene.frames
        things = range(len(self.stream.scene.things))
        drawn = (self._drawn(kind, number, end, random) for number in things for kind in KINDS)
        return _asked([question for question in drawn if question is not None])

    def _of(self, number: int, thing: Thing) -> Iterator[Question]:
        for delay in DELAYS:
            random = Random(f"day:{self.seed}:{self.steps}:{number}:{delay}")
            for kind in KINDS:
                question = self._drawn(kind, number, thing.last + delay, random)
                if question is not None:
                    yield question

    def _drawn(self, kind: str, number: int, wished: int, random: Random) -> Question | None:
        """A question of this kind about this thing alone, at the wished frame or soon after; None if there is none."""
        first = -(-wished // FRAMES_PER_STEP) * FRAMES_PER_STEP
        for now in range(first, first + LATE * FRAMES_PER_STEP, FRAMES_PER_STEP):
            facts = facts_at(self.stream.scene, now)
            if facts is None:
                continue
            for _ in range(TRIES):
                question = ASKERS[kind](facts, random)
                if question is not None and question.evidence == (number,):
                    return question
            return None
        return None


def _asked(questions: Sequence[Question]) -> tuple[Asked, ...]:
    return tuple(Asked(q.text, q.answer, q.kind, q.ask_at, q.delay_seconds) for q in questions)


def correct(asked: Asked, reply: str) -> bool:
    """Whether a reply begins with the answer, letter case and punctuation aside."""
    return Question(asked.text, asked.answer, asked.kind, 0.0, asked.delay, (), ()).correct(reply)
