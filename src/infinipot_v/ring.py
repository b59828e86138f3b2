"""The recent ring: the last steps once more, whole, right before the question (the idea behind arXiv 2605.01858)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from infinipot_v.positions import Clock
from infinipot_v.types import Block, UserError

Shown = list[tuple[Block, Tensor]]
"""Blocks and their positions, in the order in which the room shows them."""


@dataclass(frozen=True)
class Ring:
    """The embeddings of the last `size` steps, as the vision tower gave them, and where they lay: a value.

    Before a question they are prefilled into the room, and leave it with the answer: so they see everything that the
    memory holds, and none of them was evicted or reduced. These frames count twice, for the memory holds of them what
    its policy kept. The embeddings count in the cap, the slots in the room.

    A step lies where it lay when it was watched. With compact positions that is among the newest ranks, as if all of
    the ring were held; text follows behind both. [ours] As fresh steps behind the video, which is the other choice,
    they would say that time went on, and take positions of their own; on the pocket model the two are alike (docs/
    reduction.md).

    Departures from the paper: it encodes the recent frames without the past, and puts them in the place of what the
    cache has of them; here they see the past, and come beside it. Its cache of the past is a window; here it is any
    policy's. Raises `UserError` for a size that is no whole number.
    """

    size: int = 0
    steps: tuple[tuple[Block, Clock | None], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or not 0 <= self.size <= 4096:
            raise UserError(f"ring={self.size!r} is out of range: it is a number of steps, from 0 (none) to 4096")

    @property
    def tokens(self) -> int:
        """Slots of the room that the ring takes now."""
        return sum(block.steps.numel() for block, _ in self.steps)

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return sum(block.embeddings.nbytes for block, _ in self.steps)

    def check_room(self, step: int, frames_per_step: int, question: int, room: int) -> None:
        """Raise `UserError` unless a full ring of steps of `step` tokens and a question fit `room` slots.

        Where several frames make a step, one may wait, and a step of it is shown as well.
        """
        needed = (self.size + (frames_per_step > 1)) * step + question
        if self.size and needed > room:
            raise UserError(
                f"a ring of {self.size} steps takes {self.size * step} of the room's {room} slots, and a question needs"
                f" some: open a room of at least {needed} (--room, Budget(room=)), or take a smaller ring (--ring)"
            )

    def after(self, block: Block, clock: Clock | None) -> Ring:
        """The ring behind another block of whole steps. `clock`: the one before it; None with compact positions."""
        if not self.size:
            return self
        steps = list(self.steps)
        for index in range(len(block.seconds)):
            step = block.part(index, 1)
            # A part is a view of its block, all of which it would keep alive.
            steps.append((replace(step, embeddings=step.embeddings.clone()), clock))
            clock = clock and clock.place(step)[1]
        return Ring(self.size, tuple(steps[-self.size :]))

    def shown(self, now: Clock, ranks: int | None) -> tuple[Shown, Clock]:
        """The ring as it lies beside a memory, and the clock behind both.

        `now` is the clock behind the memory; `ranks`: with compact positions, those in use there, else None.
        """
        if ranks is None:
            return [(block, clock.place(block)[0]) for block, clock in self.steps if clock], now
        taken = sum(block.ranks for block, _ in self.steps) if now.by_step else self.tokens
        clock, shown = now.at_rank(max(0, ranks - taken)), Shown()
        for block, _ in self.steps:
            positions, clock = clock.place(block)
            shown.append((block, positions))
        return shown, clock if clock.next_text > now.next_text else now
