"""One layer of the retrieval cache: prefix and window on the device, every step on a shelf, and what was fetched.

    while watching      prefix | window | the step that arrives
    while answering     prefix | fetched blocks, in time order | window | question and answer

The layer hears the un-rotated queries and keys of its attention (`listening`) right before transformers hands it the
rotated keys. So it can fetch in the middle of a forward, by the query that this very layer computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import CacheLayerMixin

from infinipot_v.cache.slots import Shape
from infinipot_v.positions.rotary import Rotary, turn
from infinipot_v.retrieval.relevance import cosines, portions, ranking
from infinipot_v.retrieval.shelves import Shelf
from infinipot_v.retrieval.stretch import Stretch, joined
from infinipot_v.types import UserError


@dataclass(frozen=True)
class Wish:
    """What the next forward is to fetch: `count` of the blocks that have these `lengths`, `tokens` in all."""

    lengths: Sequence[int]
    count: int
    tokens: int


@dataclass(frozen=True)
class Arrival:
    """A step that a forward has left behind: keys as they are kept, and their un-rotated mean `[heads, dim]`."""

    step: Stretch
    mean: Tensor


class RetrievalLayer(CacheLayerMixin):
    """transformers' contract over the pieces of one layer. With a `rotary`, keys are kept un-rotated (1-D RoPE)."""

    is_sliding = False
    is_croppable = False

    def __init__(self, shape: Shape, shelf: Shelf, rotary: Rotary | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_initialized = True
        self.dtype, self.device = shape.dtype, shape.device
        self.shape, self.shelf, self.rotary = shape, shelf, rotary
        self.empty = Stretch.empty(shape)
        self.prefix = self.room = self.fetched = self.empty
        self.window: deque[Stretch] = deque()
        self.means: list[Tensor] = []
        self.chosen: tuple[int, ...] = ()
        self.wish: Wish | None = None
        self.keeping = False
        self._query: Tensor | None = None
        self._content: Tensor | None = None

    # transformers' contract ----------------------------------------------------------------------------------------

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is lazy here: shapes come from the model's configuration."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Take `[1, heads, n, dim]` into the room and return all that these tokens see, themselves included."""
        if key_states.shape[0] != 1:
            raise UserError(f"a retrieval cache watches one stream; a batch of {key_states.shape[0]} needs as many")
        if self.wish is not None:
            self._fetch(self.wish)
        self.room = joined(self.room, Stretch(key_states[0], value_states[0]))
        held = [self.prefix, self.fetched, *self.window]
        if self.rotary is not None and self.prefix.tokens:
            held = [_placed(joined(*held), self.rotary)]
        seen = joined(*held, self.room)
        return seen.keys[None], seen.values[None]

    def get_seq_length(self) -> int:
        """Tokens that a forward would see beside its own. This is a length, never a position."""
        pieces = (self.prefix, self.fetched, self.room, *self.window)
        return sum(piece.tokens for piece in pieces) + (self.wish.tokens if self.wish else 0)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """One mask is made before any layer runs, so what is going to be fetched counts already."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """No maximum."""
        return -1

    # Hearing -------------------------------------------------------------------------------------------------------

    def hear_queries(self, projected: Tensor) -> None:
        """The mean of a question's un-rotated queries `[1, n, query_heads * dim]`, when something is to be fetched."""
        if self.wish is not None:
            self._query = projected[0].float().mean(0).view(-1, self.shape.key_dim)

    def hear_keys(self, projected: Tensor) -> None:
        """Un-rotated keys `[1, n, heads * dim]`, when they are going to be kept."""
        if self.keeping:
            self._content = projected[0].unflatten(-1, (self.shape.heads, self.shape.key_dim)).transpose(0, 1)

    # Keeping -------------------------------------------------------------------------------------------------------

    def arrived(self) -> Arrival:
        """What the forward has brought, copied out of it."""
        assert self._content is not None, "nobody listens to the attention"
        assert self._content.shape[1] == self.room.tokens, "one forward brings one step"
        keys = self._content if self.rotary else self.room.keys
        step = Stretch(keys, self.room.values).copy_to(self.device)
        return Arrival(step, self._content.float().mean(1))

    def rest(self) -> None:
        """Forget question, answer, what was fetched for them, and a step that was not kept."""
        self.room = self.fetched = self.empty
        self.chosen, self.wish, self.keeping = (), None, False
        self._query = self._content = None

    @property
    def nbytes(self) -> int:
        """Bytes on the device: all pieces and the blocks' means; not what an attention joins them into and drops."""
        pieces = (self.prefix, self.fetched, self.room, *self.window)
        return sum(piece.nbytes for piece in pieces) + sum(mean.nbytes for mean in self.means)

    # Seeing --------------------------------------------------------------------------------------------------------

    def _fetch(self, wish: Wish) -> None:
        """Choose by this layer's own query, and bring the chosen blocks to the device in the order of time."""
        assert self._query is not None, "nobody listens to the attention"
        scores = cosines(self._query, torch.stack(self.means[: len(wish.lengths)]))
        taken = portions(wish.lengths, ranking(scores, wish.count), wish.tokens)
        self.chosen = tuple(sorted(taken))
        blocks = [self.shelf.get(block).first(taken[block]).copy_to(self.device) for block in self.chosen]
        self.fetched, self.wish = joined(self.empty, *blocks), None


def _placed(held: Stretch, rotary: Rotary) -> Stretch:
    """Un-rotated keys turned to their places: a token's position is its rank among what is held on the device."""
    cos, sin = (a.to(held.keys.dtype) for a in rotary.angles(torch.arange(held.tokens, device=held.keys.device)))
    placed = torch.empty_like(held.keys)
    turn(held.keys, cos, sin, rotary.half, placed)
    return Stretch(placed, held.values)


@contextmanager
def listening(decoder: Any, layers: Sequence[RetrievalLayer]) -> Iterator[None]:
    """Let every layer hear its attention's projections while the body runs; nothing stays on the model."""
    hooks = []
    try:
        for module, layer in zip(decoder.layers, layers, strict=True):
            for name, hear in (("q_proj", layer.hear_queries), ("k_proj", layer.hear_keys)):
                hooks.append(getattr(module.self_attn, name).register_forward_hook(partial(_heard, hear)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _heard(hear: Any, _module: nn.Module, _arguments: Any, output: Tensor) -> None:
    hear(output)


def check_audible(decoder: Any) -> None:
    """Raise `UserError` unless queries and keys leave plain projections, with nothing but their rotation behind."""
    for index, module in enumerate(decoder.layers):
        attention: Any = getattr(module, "self_attn", None)
        plain = hasattr(attention, "q_proj") and hasattr(attention, "k_proj")
        if not plain or hasattr(attention, "q_norm") or hasattr(attention, "k_norm"):
            raise UserError(
                f"layer {index} has no plain query and key projections to compare a question by: retrieval does not "
                "know this model; choose a policy with a budget"
            )
