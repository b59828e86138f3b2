"""The capped KV cache: a stock transformers `Cache` whose full-attention layers never outgrow the budget.

It appends, compacts, rolls back and copies. It never scores (the policy names the slots that stay) and chooses no
position: transformers hands it keys that are already rotated, and a `Rotation` turns them to their ranks where the
session asks for compact positions. Where tokens go depends on what is open:

    with cache.prefix(): ...                      the system prompt, never dropped
    with cache.append(steps, cells, grid): ...    whole steps of the stream; compacts first when they do not fit
    anything else                                 the room: questions and answers, until `rollback()`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from infinipot_v.budget import Budget
from infinipot_v.cache.bank import banks_of
from infinipot_v.cache.checks import check_announced, check_finite, check_integrity, check_state
from infinipot_v.cache.cost import MemoryCost
from infinipot_v.cache.layers import (
    CappedLayer,
    LayerPlan,
    check_turnable,
    copy_state,
    plan_layers,
    restore_state,
    state_bytes,
)
from infinipot_v.cache.moving import Window
from infinipot_v.cache.rotation import Rotation
from infinipot_v.cache.selection import score_arrivals, select
from infinipot_v.cache.slots import Region
from infinipot_v.cache.state import CacheState, Counters, Rest
from infinipot_v.interrupts import deferred_interrupts
from infinipot_v.policies import make_policy
from infinipot_v.policies.base import ContentKeys, Policy
from infinipot_v.positions import Rotary
from infinipot_v.types import Grid, UserError, ranks_of


def whole_steps(steps: Tensor) -> int:
    """How many steps announced tokens belong to."""
    return int(steps.unique().numel())


class CappedCache(Cache):
    """Keys and values of one stream inside a hard cap.

    Use `from_model`. Every capped layer holds `prefix + budget.tokens + budget.room` slots, allocated once.
    Under `model.generate()` the cache reads the memory and writes the room; it never compacts there.
    """

    def __init__(
        self,
        plan: LayerPlan,
        budget: Budget,
        policy: Policy,
        prefix: int,
        rotary: Rotary | None = None,
        beside: int = 0,
        concurrent: int = 0,
    ) -> None:
        shapes = list(plan.shapes.values())
        self.cost = MemoryCost.of(shapes, plan.other_state_bytes, rotary.pairs if rotary else 0, beside, 1 + concurrent)
        self.budget = self.cost.solve(prefix, budget)
        self.policy = policy
        self.prefix_limit = prefix
        self.counters = Counters()
        self.grid: Grid | None = None
        self.content_keys: ContentKeys | None = None
        self._window = Window()
        with self._allocating():
            slots, sizes = prefix + self.tokens + budget.room, (prefix, self.tokens, budget.room)
            self.rotation = Rotation(rotary, shapes, self.tokens, slots) if rotary else None
            self.banks = list(banks_of(shapes, *sizes, self._window, self.rotation, apart=not policy.bounded))
        self._capped = [layer for bank in self.banks for layer in bank.layers]
        for index, layer in zip(plan.shapes, self._capped, strict=True):
            plan.layers[index] = layer
        super().__init__(layers=plan.layers)
        self._others = [layer for layer in self.layers if not isinstance(layer, CappedLayer)]
        self._rest = Rest(0, 0, self._copied_others())

    @contextmanager
    def _allocating(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, MemoryError) as error:  # torch's out-of-memory errors are RuntimeErrors
            size = self.cost.cap(self.prefix_limit, self.budget) / 1e9
            raise UserError(
                f"a cap of {size:,.1f} GB cannot be allocated here: lower the budget or the room"
            ) from error

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        budget: Budget,
        policy: str | Policy = "infinipot-v",
        *,
        prefix: int = 64,
        rotary: Rotary | None = None,
        beside: int = 0,
        concurrent: int = 0,
    ) -> CappedCache:
        """Allocate a cache for a Hugging Face model, on the devices and in the dtype of its layers.

        `prefix` is the number of slots reserved for the tokens that are never dropped. With a `rotary`, positions are
        compact: see `Rotation`; whoever runs the model must then call `assign` and place tokens at ranks. `beside` are
        bytes that whoever has the cache keeps beside it; they count in the cap, and so do `concurrent` copies of all.
        Raises `UserError` when the model has layers that cannot be capped, the policy is unknown, or the budget holds
        not one token.
        """
        plan = plan_layers(model)
        if rotary is not None:
            check_turnable(plan)
        return cls(plan, budget, make_policy(policy), prefix, rotary, beside, concurrent)

    # What it holds -------------------------------------------------------------------------------------------------

    @property
    def held_tokens(self) -> int:
        """Stream slots filled, a layer and head; at most |M|."""
        return self._rest.held

    @property
    def prefix_tokens(self) -> int:
        """Slots of the prefix filled."""
        return self._rest.prefix

    @property
    def tokens(self) -> int:
        """|M|: stream slots a layer and head."""
        assert self.budget.tokens is not None, "the budget was solved on construction"
        return self.budget.tokens

    @property
    def capped_layers(self) -> list[CappedLayer]:
        """The layers that this cache caps, in order."""
        return self._capped

    @property
    def room_left(self) -> int:
        """Free slots of the room."""
        store = self._capped[0].store
        return store.limits[Region.ROOM] - store.used[Region.ROOM]

    @property
    def free_tokens(self) -> int:
        """Stream slots that can be filled before the next compaction; the full cache always has more."""
        return self.stream_slots - self.held_tokens if self.policy.bounded else 2**62

    @property
    def stream_slots(self) -> int:
        """Slots allocated for the stream, a layer and head: |M|, or what the full cache has grown to."""
        return min(layer.store.limits[Region.STREAM] for layer in self._capped)

    @property
    def cap_bytes(self) -> int:
        """The promise: no state of this cache makes `nbytes` larger (see `MemoryCost`). The full cache has no cap."""
        return self.cost.cap(self.prefix_limit, replace(self.budget, tokens=self.stream_slots))

    @property
    def nbytes(self) -> int:
        """Bytes of everything this cache keeps: slots, metadata, scratch, and other layers' state and its copy."""
        live = sum(state_bytes(vars(layer)) for layer in self._others)
        stores = sum(bank.nbytes for bank in self.banks)
        turned = self.rotation.nbytes if self.rotation else 0
        return stores + turned + self._window.nbytes + live + sum(state_bytes(state) for state in self._rest.others)

    def ranks_before(self, coming: int) -> int | None:
        """With compact positions, the rank of the first of `coming` ranks (see `Rotation.before`); else None."""
        if self.rotation is None:
            return None
        return self.rotation.before(coming, self.held_tokens, self.counters.ranks)

    @property
    def ranked_slots(self) -> int | None:
        """Positions that compact 1-D RoPE can reach, prefix + |M| + room; None where they do not follow from slots."""
        if self.rotation is None or self.rotation.by_step or not self.policy.bounded:
            return None
        return self.prefix_limit + self.tokens + self.budget.room

    @property
    def notes(self) -> tuple[dict[str, float | int] | None, ...]:
        """What the policy noted of each capped layer at its first compaction."""
        return tuple(dict(layer.store.note) if layer.store.note else None for layer in self._capped)

    # Writing -------------------------------------------------------------------------------------------------------

    @contextmanager
    def prefix(self, on_commit: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Write the tokens that are never dropped, once, before the first step. `on_commit`: see `append`."""
        if self.held_tokens or self.prefix_tokens:
            raise UserError("the prefix is written once, before the first step of the stream")
        with self._writing(Region.PREFIX, on_commit):
            yield
            check_finite(self, 0, self._written(Region.PREFIX))

    @contextmanager
    def append(
        self, steps: Tensor, cells: Tensor, grid: Grid, on_commit: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Write whole steps; int `steps`, `cells` `[tokens]` on the CPU say what each token truly is (cell -1: text).

        Compacts first when they do not fit; that is an act of its own and stays. Then all or nothing: when the body
        raises, writes another number of tokens, or leaves NaN or infinity behind, every layer is as before it.
        `on_commit` runs in the same breath as the counters.
        Raises `UserError` when one call brings more tokens than |M|, and `NonFiniteError`.
        """
        tokens = steps.numel()
        check_announced(self, steps, grid)
        self.make_room(tokens)
        with self._writing(Region.STREAM, lambda: self._commit(steps, cells, grid, on_commit)):
            self._label(steps, cells)
            yield
            self._check_written(tokens)
            score_arrivals(self, grid, cells)

    @contextmanager
    def _writing(self, region: Region, commit: Callable[[], None]) -> Iterator[None]:
        """Open `region` for the body. What was not committed is undone: here, and again by whatever comes next."""
        self.rollback()
        done = False
        try:
            for layer in self._capped:
                layer.region = region
            yield
            with deferred_interrupts():
                self._settle()
                commit()
                done = True
        finally:
            if not done:
                self.rollback()

    def _settle(self) -> None:
        """Take what is written as the new state of rest, and send what follows to the room."""
        self._rest = Rest(self._written(Region.PREFIX), self._written(Region.STREAM), self._copied_others())
        self._go_to_rest()

    def _copied_others(self) -> tuple[dict[str, Any], ...]:
        return tuple(copy_state(layer) for layer in self._others)

    def _go_to_rest(self) -> None:
        for layer in self._capped:
            layer.region = Region.ROOM
            layer.store.truncate(self._rest.prefix, self._rest.held)
        self._count_ranks(self.counters.ranks)
        # A sliding layer keeps a view of a longer tensor alive; its copy is as small as its window.
        for other, state in zip(self._others, self._rest.others, strict=True):
            restore_state(other, state)

    def _ranks_with(self, steps: Tensor, cells: Tensor) -> int:
        """Ranks in use behind announced tokens; 0 where nothing is ranked by step."""
        if self.rotation is None or not self.rotation.by_step:
            return 0
        coming = ranks_of(steps, cells)
        return (self.ranks_before(coming) or 0) + coming

    def _count_ranks(self, ranks: int) -> None:
        if self.rotation is not None:
            self.rotation.newest = ranks

    def _written(self, region: Region) -> int:
        return self._capped[0].store.used[region]

    def assign(self, positions: Callable[[Tensor], Tensor], usable: int | None) -> None:
        """With compact positions, give every rank its position; those from `usable` on are none of the model's."""
        if self.rotation is not None:
            self.rotation.assign(positions, usable)

    def _check_written(self, tokens: int) -> None:
        for index, layer in enumerate(self._capped):
            if layer.store.held != self._rest.held + tokens:
                written = layer.store.held - self._rest.held
                raise UserError(f"{tokens} tokens were announced, but capped layer {index} received {written}")
        start = self._rest.prefix + self._rest.held
        check_finite(self, start, start + tokens)

    def _label(self, steps: Tensor, cells: Tensor) -> None:
        """Say what the announced slots will hold: a compact read needs it before they are filled."""
        places = {layer.store.shape.device for layer in self._capped}
        labels = {place: (steps.to(place, torch.int32), cells.to(place, torch.int16)) for place in places}
        for bank in self.banks:
            bank.store.label(self._rest.held, *labels[bank.store.shape.device])
        self._count_ranks(self._ranks_with(steps, cells))

    def _commit(self, steps: Tensor, cells: Tensor, grid: Grid, on_commit: Callable[[], None]) -> None:
        whole, c = whole_steps(steps), self.counters
        self.grid = grid
        self.counters = replace(
            c, steps=c.steps + whole, seen_tokens=c.seen_tokens + steps.numel(), fresh_steps=c.fresh_steps + whole,
            newest_step=int(steps[-1]), ranks=self._ranks_with(steps, cells),
        )  # fmt: skip
        self._count_ranks(self.counters.ranks)
        on_commit()

    # Compaction ----------------------------------------------------------------------------------------------------

    def make_room(self, incoming: int, queries: Mapping[int, Tensor] | None = None) -> None:
        """Compact to `budget.target(incoming)` when `incoming` tokens do not fit; the full cache grows instead.

        `queries`: see `compact`.
        """
        if self.held_tokens + incoming <= self.stream_slots:
            return
        if self.policy.bounded and incoming > self.stream_slots:
            raise UserError(
                f"{incoming} tokens come at once, and the budget holds {self.stream_slots}: "
                "give it the tokens of at least one step"
            )
        if self.policy.bounded:
            self.compact(min(self.budget.target(incoming), self.held_tokens), queries)
        else:
            self._grow(max(2 * self.stream_slots, self.held_tokens + incoming))

    def _grow(self, tokens: int) -> None:
        """A layer is replaced only when its larger copy is complete, so a failed allocation loses nothing."""
        self.rollback()
        if self.rotation is not None:
            self.rotation.grow(tokens, self.prefix_limit + tokens + self.budget.room)
        for bank in self.banks:
            bank.grow(tokens)

    def compact(self, keep: int, queries: Mapping[int, Tensor] | None = None) -> None:
        """Keep `keep` stream slots a layer and head, the ones that the policy names, in place.

        All or nothing: selection ends for all layers before any slot moves, and the moves neither allocate nor can be
        interrupted. `queries`, by the model's layer, are for a policy that needs some (see `queries.probe`); without
        them it raises `UserError`.
        """
        if not self.held_tokens:
            return
        self.rollback()
        kept = select(self, keep, queries)
        ranks = self.rotation.kept([bank.store for bank in self.banks], kept) if self.rotation else 0
        with deferred_interrupts():
            for bank, slots in zip(self.banks, kept, strict=True):
                bank.compact(slots)
            self._rest = replace(self._rest, held=keep)
            self.counters = replace(
                self.counters, compressions=self.counters.compressions + 1, fresh_steps=0, ranks=ranks
            )
            self._count_ranks(self.counters.ranks)

    # Going back ----------------------------------------------------------------------------------------------------

    def rollback(self) -> None:
        """Drop the room, and whatever an interrupted write has left: every layer is as it was after the last step."""
        with deferred_interrupts():
            self._go_to_rest()

    def snapshot(self, *, copy: bool = True) -> CacheState:
        """The memory (the room is dropped first). A copy is not part of the cap; otherwise slots are views of it."""
        self.rollback()
        stores = tuple(layer.store.state(copy=copy) for layer in self._capped)
        return CacheState(stores, self._copied_others(), self.counters, self.grid)

    def restore(self, state: CacheState) -> None:
        """Put a snapshot back, in place: one of this cache, or of one with the same layers and no more tokens.

        Raises `UserError` where it does not fit; then nothing has changed.
        """
        check_state(self, state)
        held = state.stores[0].held
        if held > self.stream_slots and not self.policy.bounded:
            self._grow(held)
        with deferred_interrupts():
            for layer, store in zip(self._capped, state.stores, strict=True):
                layer.store.restore(store)
            for other, copied in zip(self._others, state.others, strict=True):
                restore_state(other, copied)
            self._settle()
            self.counters, self.grid = state.counters, state.grid
            self._count_ranks(self.counters.ranks)

    def reset(self) -> None:
        """Forget everything; the buffers stay."""
        with deferred_interrupts():
            super().reset()  # type: ignore[no-untyped-call]
            self._settle()
            self.counters, self.grid = Counters(), None
            self._count_ranks(0)

    def check_integrity(self) -> None:
        """Raise AssertionError unless all layers agree and every head's slots are in order, unique and on the grid."""
        check_integrity(self)
