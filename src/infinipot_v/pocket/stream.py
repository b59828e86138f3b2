"""A stream: its pictures, its video file, its questions. Everything follows from the seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from random import Random

from infinipot_v.pocket.levels import level_named
from infinipot_v.pocket.plan import Plan, plan_of
from infinipot_v.pocket.questions import QUESTION_KINDS, Question, ask
from infinipot_v.pocket.render import Bytes, clean_frame, enlarged, noisy
from infinipot_v.pocket.scene import Scene, build_scene

FPS = 1  # frames a second, of the camera and of its video files
EACH_KIND = 2  # questions of every kind a stream asks, where its scene offers them


@dataclass(frozen=True)
class Stream:
    """A synthetic camera stream with full ground truth."""

    seed: int
    steps: int
    level: str
    scene: Scene

    @property
    def seconds(self) -> float:
        """Length of the stream."""
        return self.scene.frames / FPS

    @cached_property
    def plan(self) -> Plan:
        """The scene laid out frame by frame."""
        return plan_of(self.scene)

    def frames(self) -> Iterator[tuple[float, Bytes]]:
        """The pictures in order: (seconds since the start, uint8 [224, 224, 3] RGB)."""
        for frame in range(self.scene.frames):
            clean = clean_frame(self.plan, frame)
            yield frame / FPS, enlarged(noisy(clean, self.scene.noise, self.seed, frame))

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """Two of every kind where the scene allows, by the time they are asked. Independent."""
        random = Random(f"questions:{self.seed}:{self.steps}:{self.level}")
        drawn = (ask(self.scene, random, k, late=0.5) for k in QUESTION_KINDS for _ in range(EACH_KIND))
        unlike = {(q.text, q.ask_at): q for q in drawn if q is not None}
        return tuple(sorted(unlike.values(), key=lambda q: q.ask_at))

    def write(self, path: str | PathLike[str], crf: int = 18) -> None:
        """Write the stream as an H.264 video (mp4, yuv420p, one frame a second). Needs PyAV."""
        from infinipot_v.pocket.video import write_video

        write_video(path, (picture for _, picture in self.frames()), FPS, crf)


def make_stream(seed: int, steps: int = 64, level: str = "full") -> Stream:
    """Make the stream of a seed; two frames are a step, two seconds.

    Raises ValueError for an unknown level or fewer than four steps.
    """
    if steps < 4:
        raise ValueError(f"a stream has at least 4 steps, not {steps}; pass steps=4 or more")
    return Stream(seed, steps, level, build_scene(seed, steps, level_named(level)))
