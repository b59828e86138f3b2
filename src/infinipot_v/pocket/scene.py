"""The script of a stream: which thing is where, from when to when, before which background.

Time is counted in frames, one frame a second; two frames make a step. A scene is drawn from its
seed with Python's own generator and knows nothing of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random

from infinipot_v.pocket.cast import cast
from infinipot_v.pocket.levels import Level
from infinipot_v.pocket.lexicon import COLOURS, DISTRACTORS, KINDS, SIZES
from infinipot_v.pocket.textures import CELL, PICTURE, TEXTURES, TILE

Colour = tuple[float, float, float]
FRAMES_PER_STEP = 2
MIDDLE = PICTURE / 2
MARGIN = 8  # a thing with a place keeps its centre this many pixels from the picture's middle lines
TRIES = 24
MOST_AT_ONCE = 3  # things
MOST_THINGS = 18  # of a stream, however long
MOST_DISTRACTORS = 2


@dataclass(frozen=True)
class Path:
    """A straight walk: centre (x, y) in pixels at `first`, velocity in pixels a frame."""

    first: int
    last: int
    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0

    def centre(self, frame: int) -> tuple[float, float]:
        """Where it is at a frame, pixels."""
        return self.x + self.vx * (frame - self.first), self.y + self.vy * (frame - self.first)

    @property
    def end(self) -> tuple[float, float]:
        """Where it is in its last frame, pixels."""
        return self.centre(self.last - 1)


@dataclass(frozen=True)
class Thing:
    """An appearance. Visible in the frames path.first <= f < path.last, always whole."""

    kind: int
    colour: int
    size: int
    path: Path
    rgb: Colour

    @property
    def first(self) -> int:
        """First frame it is visible in."""
        return self.path.first

    @property
    def last(self) -> int:
        """First frame it is gone from."""
        return self.path.last

    @property
    def place(self) -> int | None:
        """Its quadrant (index into PLACES), or None if it does not keep to one."""
        corners = {_quadrant(*self.path.centre(self.first)), _quadrant(*self.path.end)}
        return corners.pop() if len(corners) == 1 else None


@dataclass(frozen=True)
class Shot:
    """A background held from a cut to the next: a tinted texture, a pan, a light."""

    first: int
    last: int
    texture: int
    dark: Colour
    light: Colour
    offset: tuple[float, float]
    pan: tuple[float, float]
    jitter: int
    swing: float
    period: float
    phase: float


@dataclass(frozen=True)
class Scene:
    """Everything there is to know about a stream. Things are sorted by their first frame."""

    seed: int
    frames: int
    things: tuple[Thing, ...]
    distractors: tuple[Thing, ...]
    shots: tuple[Shot, ...]
    noise: float


def build_scene(seed: int, steps: int, level: Level) -> Scene:
    """Draw the scene of a seed. Same arguments, same scene."""
    random = Random(f"pocket:{seed}:{steps}:{level.name}")
    frames = steps * FRAMES_PER_STEP
    shots = _shots(random, frames, level)
    things = _things(random, frames, level, shots)
    distractors = _distractors(random, frames) if level.distractors else ()
    return Scene(seed, frames, things, distractors, shots, random.uniform(0.5, 4.0))


def _shots(random: Random, frames: int, level: Level) -> tuple[Shot, ...]:
    most = min(5, frames // 24) if level.camera else 0
    cuts = sorted(random.sample(range(8, frames - 7), random.randint(0, most))) if most > 0 else []
    cuts = [cut for before, cut in pairwise([-99, *cuts]) if cut - before >= 16]
    return tuple(_shot(random, a, b, level) for a, b in pairwise([0, *cuts, frames]))


def _shot(random: Random, first: int, last: int, level: Level) -> Shot:
    base, spread = random.uniform(40, 120), random.uniform(20, 80)
    pans = level.camera and random.random() < 0.3
    return Shot(
        first=first,
        last=last,
        texture=random.randrange(TEXTURES),
        dark=_tinted(random, base),
        light=_tinted(random, base + spread),
        offset=(random.uniform(0, TILE), random.uniform(0, TILE)),
        pan=(random.uniform(-0.7, 0.7), random.uniform(-0.4, 0.4)) if pans else (0.0, 0.0),
        jitter=int(level.camera and random.random() < 0.25),
        swing=random.uniform(0, 0.12) if level.camera else 0.0,
        period=random.uniform(40, 200),
        phase=random.uniform(0, 6.28),
    )


def _tinted(random: Random, grey: float) -> Colour:
    return (
        grey + random.uniform(-16, 16),
        grey + random.uniform(-16, 16),
        grey + random.uniform(-16, 16),
    )


def _things(random: Random, frames: int, level: Level, shots: tuple[Shot, ...]) -> tuple[Thing, ...]:
    steps = frames // FRAMES_PER_STEP
    least, most = min(2 + steps // 16, MOST_THINGS - 4), min(4 + steps // 10, MOST_THINGS)
    roles = cast(random, random.randint(least, most))
    onsets = _onsets(random, frames, len(roles))
    things: list[Thing] = []
    for (kind, colour), first in zip(roles, onsets, strict=False):
        end = next(shot.last for shot in shots if shot.first <= first < shot.last)
        thing = _thing(random, level, kind, colour, first, end, things)
        if thing is not None:
            things.append(thing)
    return tuple(things)


def _onsets(random: Random, frames: int, count: int) -> list[int]:
    """First frames, ascending, at least two frames apart."""
    room = frames - 2 - (count - 1)
    count = count if room >= count else frames // 3
    picks = sorted(random.sample(range(frames - 2 - (count - 1)), count))
    return [pick + i for i, pick in enumerate(picks)]


def _thing(
    random: Random, level: Level, kind: int, colour: int, first: int, end: int, others: list[Thing]
) -> Thing | None:
    """Place a thing so that it touches no other; None if there is no room for it."""
    shortest, longest = (2, max(3, end // 4)) if end <= 32 else (4, 24)
    rgb = _worn(random, tuple(COLOURS.values())[colour])
    for _ in range(TRIES):
        last = min(first + random.randint(shortest, longest), end)
        size = random.choice(level.sizes)
        path = _path(random, level, first, last, size)
        if last - first < 2 or path is None:
            continue
        thing = Thing(kind, colour, size, path, rgb)
        if _fits(thing, others):
            return thing
    return None


def _worn(random: Random, rgb: tuple[int, int, int]) -> Colour:
    gain = random.uniform(0.88, 1.06)
    red, green, blue = (min(255.0, value * gain + random.uniform(-8, 8)) for value in rgb)
    return red, green, blue


def _path(random: Random, level: Level, first: int, last: int, size: int) -> Path | None:
    """A walk that keeps the thing whole; still, drifting in its quadrant, or crossing."""
    if level.aligned:
        column, row = random.randrange(4), random.randrange(4)
        return Path(first, last, (column + 0.5) * CELL, (row + 0.5) * CELL)
    gait = random.random() if level.moving else 0.0
    if gait > 0.85 and last - first >= 4:
        return _crossing(random, first, last, size)
    return _staying(random, first, last, size, drifts=gait > 0.55)


def _staying(random: Random, first: int, last: int, size: int, drifts: bool) -> Path | None:
    low, high = size / 2, PICTURE - size / 2
    vx, vy = (random.uniform(-1, 1), random.uniform(-1, 1)) if drifts else (0.0, 0.0)
    path = Path(first, last, random.uniform(low, high), random.uniform(low, high), vx, vy)
    ends = (path.centre(first), path.end)
    settled = _quadrant(*ends[0]) is not None and _quadrant(*ends[0]) == _quadrant(*ends[1])
    return path if settled and all(low <= c <= high for end in ends for c in end) else None


def _crossing(random: Random, first: int, last: int, size: int) -> Path:
    """From one side of the picture to the other at one height, or from top to bottom."""
    low, high = size / 2, PICTURE - size / 2
    start, stop = (low, high) if random.random() < 0.5 else (high, low)
    speed, across = (stop - start) / (last - first - 1), random.uniform(low, high)
    if random.random() < 0.5:
        return Path(first, last, start, across, speed, 0.0)
    return Path(first, last, across, start, 0.0, speed)


def _quadrant(x: float, y: float) -> int | None:
    """Index into PLACES, None within MARGIN of a middle line."""
    if min(abs(x - MIDDLE), abs(y - MIDDLE)) < MARGIN:
        return None
    return int(x > MIDDLE) + 2 * int(y > MIDDLE)


def _fits(thing: Thing, others: list[Thing]) -> bool:
    """Whether it touches none of the others and at most MOST_AT_ONCE are seen at once."""
    at_once = [o for o in others if o.first < thing.last and thing.first < o.last]
    if any(_touch(thing, other) for other in at_once):
        return False
    return all(sum(o.first <= f < o.last for o in at_once) < MOST_AT_ONCE for f in range(thing.first, thing.last))


def _touch(one: Thing, other: Thing) -> bool:
    reach = (one.size + other.size) / 2 + 1
    for frame in range(max(one.first, other.first), min(one.last, other.last)):
        (ax, ay), (bx, by) = one.path.centre(frame), other.path.centre(frame)
        if abs(ax - bx) < reach and abs(ay - by) < reach:
            return True
    return False


def _distractors(random: Random, frames: int) -> tuple[Thing, ...]:
    """Grey shapes on walks that may leave the picture, at most two at once."""
    chosen: list[Thing] = []
    for _ in range(random.randint(frames // 32, max(1, frames // 10))):
        first = random.randrange(frames)
        last = min(frames, first + random.randint(4, 24))
        grey = random.choice((random.uniform(20, 60), random.uniform(150, 245)))
        path = Path(
            first, last, random.uniform(0, PICTURE), random.uniform(0, PICTURE),
            random.uniform(-3, 3), random.uniform(-3, 3),
        )  # fmt: skip
        kind = len(KINDS) + random.randrange(len(DISTRACTORS))
        if sum(o.first < last and first < o.last for o in chosen) < MOST_DISTRACTORS:
            size = random.choice(SIZES[:4])
            chosen.append(Thing(kind, -1, size, path, (grey, grey, grey)))
    return tuple(chosen)
