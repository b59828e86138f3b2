"""What a memory costs in bytes: the published formula of the cap, computable from shapes and budget alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infinipot_v.budget import Budget
from infinipot_v.cache.moving import MOVE_SLOTS
from infinipot_v.cache.slots import METADATA_BYTES, Shape


@dataclass(frozen=True)
class MemoryCost:
    """The cap of a memory, term by term (docs/memory.md):

    cap = (token_bytes + turned_bytes) (prefix + |M| + room) + (metadata_bytes + angle_bytes) |M|
          + scratch_bytes + other_bytes + beside_bytes,     and all of it once for each of `copies`

    `token_bytes` sums heads x (key_dim + value_dim) x itemsize over the capped layers; `metadata_bytes` sums
    10 bytes x heads over them; `scratch_bytes` is one moving window of 512 slots for each distinct layer shape;
    `other_bytes` is the state of the layers that are not capped (sliding, recurrent, convolution), held twice,
    because a step is rolled back from a copy of it. With compact positions, `turned_bytes` is one token's keys in the
    scratch they are read through, once for each distinct shape, and `angle_bytes` the cosines and sines of one rank,
    once for each dtype and device; otherwise both are 0. `beside_bytes` is what a session
    keeps beside its cache: embeddings of a recent ring, and what a reduction compares with. `copies` counts the memory
    itself and the forks that are reserved.
    """

    token_bytes: int
    metadata_bytes: int
    scratch_bytes: int
    other_bytes: int
    turned_bytes: int = 0
    angle_bytes: int = 0
    beside_bytes: int = 0
    copies: int = 1

    @classmethod
    def of(
        cls,
        shapes: Sequence[Shape],
        other_state_bytes: int = 0,
        turning_pairs: int = 0,
        beside_bytes: int = 0,
        copies: int = 1,
    ) -> MemoryCost:
        """Price capped layers of these shapes beside other layers whose state takes `other_state_bytes` once.

        `turning_pairs` pairs of a key turn with compact positions; 0 where positions stay.
        """
        return cls(
            token_bytes=sum(shape.token_bytes for shape in shapes),
            metadata_bytes=sum(METADATA_BYTES * shape.heads for shape in shapes),
            scratch_bytes=_scratch_bytes(shapes),
            other_bytes=2 * other_state_bytes,
            turned_bytes=_turned_bytes(shapes) if turning_pairs else 0,
            angle_bytes=sum(2 * turning_pairs * dtype.itemsize for dtype, _ in {(s.dtype, s.device) for s in shapes}),
            beside_bytes=beside_bytes,
            copies=copies,
        )

    def fixed(self, prefix: int, room: int) -> int:
        """Bytes that do not depend on |M|."""
        slots = (self.token_bytes + self.turned_bytes) * (prefix + room)
        return self.copies * (slots + self.scratch_bytes + self.other_bytes + self.beside_bytes)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one more token of |M|."""
        return self.copies * (self.token_bytes + self.turned_bytes + self.metadata_bytes + self.angle_bytes)

    def cap(self, prefix: int, budget: Budget) -> int:
        """`cap_bytes` of a budget in tokens."""
        assert budget.tokens is not None, "resolve() comes first"
        return self.fixed(prefix, budget.room) + self.slot_bytes * budget.tokens

    def solve(self, prefix: int, budget: Budget) -> Budget:
        """Return `budget` in tokens: a budget in bytes is the cap, solved for |M|. Raises `UserError` if too small."""
        return budget.resolve(self.fixed(prefix, budget.room), self.slot_bytes)


def _scratch_bytes(shapes: Sequence[Shape]) -> int:
    """One window a distinct buffer shape: keys and values share it when they are alike; metadata have their own."""
    windows = {(s.heads, dim, s.dtype, s.device): s.heads * dim * s.dtype.itemsize
               for s in shapes for dim in (s.key_dim, s.value_dim)}  # fmt: skip
    metadata = {(s.heads, s.device): s.heads * METADATA_BYTES for s in shapes}
    return MOVE_SLOTS * (sum(windows.values()) + sum(metadata.values()))


def _turned_bytes(shapes: Sequence[Shape]) -> int:
    """One token's keys for each distinct shape of them."""
    kinds = {(s.heads, s.key_dim, s.dtype, s.device) for s in shapes}
    return sum(heads * dim * dtype.itemsize for heads, dim, dtype, _ in kinds)
