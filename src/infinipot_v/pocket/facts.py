"""What a viewer knows at a moment: the things seen so far, and nothing of what is to come."""

from __future__ import annotations

from dataclasses import dataclass

from infinipot_v.pocket.lexicon import COLOUR_NAMES, KINDS
from infinipot_v.pocket.scene import FRAMES_PER_STEP, Scene, Thing


@dataclass(frozen=True)
class Facts:
    """The things of a scene that appeared before frame `now`, in order of appearance."""

    things: tuple[Thing, ...]
    now: int

    def of_kind(self, kind: int) -> list[int]:
        """Indices of the things of a kind."""
        return [i for i, thing in enumerate(self.things) if thing.kind == kind]

    def of_colour(self, colour: int) -> list[int]:
        """Indices of the things of a colour."""
        return [i for i, thing in enumerate(self.things) if thing.colour == colour]

    def unique_kinds(self) -> list[int]:
        """Indices of the things that are the only one of their kind so far."""
        return [i for i, thing in enumerate(self.things) if len(self.of_kind(thing.kind)) == 1]

    def unique_colours(self) -> list[int]:
        """Indices of the things that are the only one of their colour so far."""
        return [i for i, thing in enumerate(self.things) if len(self.of_colour(thing.colour)) == 1]

    def visible(self) -> list[int]:
        """Indices of the things in the picture now."""
        return [i for i, thing in enumerate(self.things) if thing.last >= self.now]

    def absent_kinds(self) -> list[int]:
        """Kinds not seen so far."""
        return [k for k in range(len(KINDS)) if not self.of_kind(k)]

    def kind(self, index: int) -> str:
        """The word for a thing's kind."""
        return KINDS[self.things[index].kind]

    def colour(self, index: int) -> str:
        """The word for a thing's colour."""
        return COLOUR_NAMES[self.things[index].colour]

    def delay(self, *indices: int) -> int:
        """Seconds since the oldest of these things left the picture; 0 while all are visible."""
        return max((max(0, self.now - self.things[i].last) for i in indices), default=0)


def facts_at(scene: Scene, now: int) -> Facts | None:
    """The facts after the frames 0 .. now-1; None where half a step would decide the answer.

    `now` must fall on a step's edge, and nothing may appear or vanish within the last step.
    """
    if now % FRAMES_PER_STEP or not 0 < now <= scene.frames:
        return None
    if any(now - FRAMES_PER_STEP < edge < now for t in scene.things for edge in (t.first, t.last)):
        return None
    return Facts(tuple(t for t in scene.things if t.first < now), now)
