"""The streams of all experiments: pictures straight from the renderer, the world's own questions, five more at the end.

`infinipot-v eval pocket` reads real video files. Here nothing is encoded, so that a run that was stopped goes on with
the same pictures to the byte, and a stream is rendered once for all who watch it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from infinipot_v.evaluate.base import Asked, Benchmark, Item, Manner
from infinipot_v.evaluate.experiments.shots import OWN, with_camera
from infinipot_v.pocket import Question, Stream, make_stream
from infinipot_v.pocket.facts import Facts, facts_at
from infinipot_v.pocket.questions import ASKERS
from infinipot_v.pocket.scene import FRAMES_PER_STEP, Scene
from infinipot_v.pocket.seeds import split_of
from infinipot_v.types import Frame

STEP_TOKENS = 16
"""Tokens a step of the pocket model: a 4 x 4 grid."""
TURNS = tuple(f"turn {number}" for number in range(1, 6))
"""The kinds of the five questions at the end, in their order."""
TURN_KINDS = ("attribute", "what", "place", "yesno", "choice")
"""What they are about: one thing each, so that no two can share their evidence."""
TRIES = 40


@dataclass(frozen=True)
class Spec:
    """One stream: its seed, its length in steps, its camera, and whether it ends with the five questions."""

    seed: int
    steps: int
    camera: str = OWN
    turns: bool = False

    @property
    def name(self) -> str:
        """What records call it."""
        return f"{self.seed}x{self.steps}" + ("" if self.camera == OWN else f" {self.camera}")

    @property
    def split(self) -> str:
        """`dev` or `test`."""
        return split_of(self.seed)

    @property
    def tokens(self) -> int:
        """What the full cache holds at its end, a layer and head."""
        return self.steps * STEP_TOKENS


class Pictures(Benchmark):
    """Any streams of the embedded world, by their specifications."""

    name = "pocket-experiments"
    manner = Manner(room=96)  # questions and answers of this world are short; the longest probe of a policy takes 68

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = {spec.name: spec for spec in specs}

    @property
    def settings(self) -> dict[str, object]:
        """World version and room; which streams take part is the scale's."""
        from infinipot_v.pocket.version import pocket_version

        return {"benchmark": self.name, "world": pocket_version(), "room": self.manner.room}

    def items(self) -> Iterable[Item]:
        """One item a stream, made when it is its turn."""
        return (self.item(spec) for spec in self.specs.values())

    def item(self, spec: Spec) -> Item:
        """The stream with its questions, in the order of their times."""
        stream = stream_of(spec)
        asked = [Asked(q.text, q.answer, q.kind, q.ask_at, q.delay_seconds) for q in stream.questions]
        if spec.turns:
            asked += [
                Asked(q.text, q.answer, turn, q.ask_at, q.delay_seconds)
                for turn, q in zip(TURNS, five_questions(stream.scene), strict=False)
            ]
        asked.sort(key=lambda question: question.at or 0.0)  # stable: the five keep their order
        return Item(spec.name, spec.tokens, STEP_TOKENS, tuple(asked), stream.seconds)

    @contextmanager
    def frames(self, item: Item) -> Iterator[Iterator[Frame]]:
        """Rendered by the first who watches, and kept for those who watch next."""
        yield iter(_pictures(self.specs[item.name]))

    def correct(self, asked: Asked, reply: str) -> bool:
        """Whether the reply begins with the answer, letter case and punctuation aside."""
        return Question(asked.text, asked.answer, asked.kind, 0.0, asked.delay, (), ()).correct(reply)


@lru_cache(maxsize=1)
def _pictures(spec: Spec) -> tuple[Frame, ...]:
    return tuple(Frame(picture, seconds) for seconds, picture in stream_of(spec).frames())


def stream_of(spec: Spec) -> Stream:
    """The stream of a specification. Its questions depend on its things alone, whatever the camera."""
    stream = make_stream(spec.seed, spec.steps)
    return replace(stream, scene=with_camera(stream.scene, spec.camera))


def five_questions(scene: Scene) -> tuple[Question, ...]:
    """Five questions at the stream's end, each about a thing of its own that is gone; none where there are not five.

    The end is the last step's edge at which nothing is half seen. Which kind comes first is drawn, too, so that no
    turn is easier than another.
    """
    random = Random(f"turns:{scene.seed}:{scene.frames}")
    for now in range(scene.frames, 0, -FRAMES_PER_STEP):
        facts = facts_at(scene, now)
        if facts is not None:
            drawn = _about_different_things(facts, random)
            return drawn if len(drawn) == len(TURNS) else ()
    return ()


def _about_different_things(facts: Facts, random: Random) -> tuple[Question, ...]:
    drawn: list[Question] = []
    used: set[int] = set()
    kinds = random.sample(TURN_KINDS, len(TURN_KINDS))
    for attempt in range(TRIES):
        question = ASKERS[kinds[attempt % len(kinds)]](facts, random)
        if question is None or question.delay_seconds <= 0 or used & set(question.evidence):
            continue
        drawn.append(question)
        used |= set(question.evidence)
        if len(drawn) == len(TURNS):
            break
    return tuple(drawn)
