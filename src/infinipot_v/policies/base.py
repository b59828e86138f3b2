"""What a policy sees and what it may say. A policy looks at a view and names slots; it never writes.

A policy is a frozen dataclass: its fields are the hyper-parameters and its `repr` is the experiment's record.
Whatever must be remembered between compactions (a layer's pooling kernel, say) is a *note*: a small JSON-able
mapping that the cache keeps beside the layer's slots, saves with them and shows to the policy in every view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.types import Grid

Note = Mapping[str, float | int]
ContentKeys = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class KVView:
    """The evictable slots of one layer, oldest first in every head. All indices of a policy are relative to it.

    A policy that goes `by_head` is shown the heads of several like layers as one; `layer` is then the first of them,
    and there is no `note`.

    `keys`, `values` `[heads, slots, dim]`; `steps`, `cells` `[heads, slots]` integers (true step and spatial cell,
    -1 for text); `grid` in tokens; `layer` of `num_layers`. Optional: `scores` float32 `[heads, slots]` as
    `Policy.on_step` gave them; `fresh_steps`, whole steps appended since the last compaction; `note`, what
    `Policy.calibrate` said of this layer; `queries` `[query_heads, tokens, dim]`, rotated, oldest first (see
    `Policy.needs_queries`); `read` `[heads, slots, dim]`, keys turned as those queries meet them, where they are stored
    un-rotated (None: as stored); `content`, a function `(keys [heads, n, dim], steps [heads, n]) -> keys` that undoes
    the temporal rotation of stored keys; `whole`, whether the slots are known to be whole steps without text, in the
    order of their cells, in every head.
    """

    keys: Tensor
    values: Tensor
    steps: Tensor
    cells: Tensor
    grid: Grid | tuple[int, int]
    layer: int
    num_layers: int
    scores: Tensor | None = None
    fresh_steps: int | None = None
    note: Note | None = None
    queries: Tensor | None = None
    content: ContentKeys | None = None
    read: Tensor | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid):
            object.__setattr__(self, "grid", Grid(*self.grid))

    @property
    def cells_per_step(self) -> int:
        """Vision tokens a step, `p` in the paper."""
        assert isinstance(self.grid, Grid)
        return self.grid.tokens

    @property
    def slots(self) -> int:
        """Evictable slots a head."""
        return self.keys.shape[1]


@dataclass(frozen=True)
class Policy:
    """Names the slots that stay. Sub-classes override `select`; `needs_queries` and `probe` when attention tells them
    what matters; the other three only when they keep scores."""

    name: ClassVar[str] = ""
    bounded: ClassVar[bool] = True
    """False only for the full cache, whose memory grows."""
    by_head: ClassVar[bool] = False
    """Whether `select` treats every head by itself and asks for no layer, note or query: then the heads of several
    layers are shown as those of one, which takes far fewer operations. Whoever overrides `select` says so again."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "select" in vars(cls) and "by_head" not in vars(cls):
            cls.by_head = False

    @property
    def needs_queries(self) -> int:
        """How many of the newest queries `select` finds in `view.queries`, at most; 0: it reads none.

        They are taken right before a compaction, by whoever runs the model: what `probe` names runs in the room, behind
        all that is held, and is rolled back.
        """
        return 0

    @property
    def probe(self) -> str | None:
        """Whose queries: those of the step that does not fit (None), or of a question; "" is the chat template alone.

        A question is shown as `Session.ask` would, in the first turn, with what the template puts around it.
        """
        return None

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return the kept slots, int64 `[heads, keep]`, ascending and unique in each head; `keep <= view.slots`."""
        raise NotImplementedError

    def on_step(self, view: KVView) -> Tensor | None:
        """Score whole, fresh steps on arrival: float32 `[heads, slots]`, stored with the slots; None stores nothing."""
        return None

    def calibrate(self, view: KVView) -> Note | None:
        """Called once a layer, right before its first compaction, with all that is held. Pure: the cache keeps it."""
        return None

    def rescore(self, view: KVView) -> Tensor | None:
        """Right after `calibrate`: new scores `[heads, slots]` under `view.note`, or None to leave them. Pure."""
        return None


ALL_QUERIES = 2**20
"""More than any probe has tokens."""


def all_slots(view: KVView) -> Tensor:
    """Every slot of the view, int64 `[heads, slots]`."""
    heads, slots = view.steps.shape
    return torch.arange(slots, device=view.keys.device).expand(heads, slots)
