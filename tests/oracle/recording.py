"""What a session ran, forward by forward: which tokens every layer and head could see, by a book of its own.

Tokens are numbered in the order in which they ran; the book follows appends and compactions by these numbers and never
reads a slot's label, so it holds for text inside the stream too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from infinipot_v.cache.bank import Bank
from infinipot_v.cache.slots import Region
from infinipot_v.session import Session


@dataclass
class Forward:
    """One run of the language model: tokens `first` to `first + count`, and per layer the ids seen `[heads, n]`."""

    region: Region
    first: int
    count: int
    embeddings: Tensor
    positions: Tensor
    seen: list[Tensor]
    provisional: bool
    """A step in the room, on three axes: one that waits, or one shown for its queries."""

    @property
    def own(self) -> Tensor:
        """Ids of this forward's tokens."""
        return torch.arange(self.first, self.first + self.count)


class Recording:
    """Watches a session; `forwards` is what it ran."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.forwards: list[Forward] = []
        layers, heads = len(session.cache.capped_layers), session.cache.capped_layers[0].store.shape.heads
        self._prefix = torch.zeros(heads, 0, dtype=torch.long)
        self._stream = [torch.zeros(heads, 0, dtype=torch.long) for _ in range(layers)]
        self._room = torch.zeros(heads, 0, dtype=torch.long)

    @contextmanager
    def running(self) -> Iterator[Recording]:
        """Record while the session's language model runs."""
        decoder = self.session.model.hf.get_decoder()
        hook = decoder.register_forward_pre_hook(self._before, with_kwargs=True)
        banks = self.session.cache.banks
        for index, bank in enumerate(banks):
            first = sum(len(one.layers) for one in banks[:index])
            bank.compact = partial(self._compact, first, bank)
        try:
            yield self
        finally:
            hook.remove()
            for bank in banks:
                del bank.compact

    def _compact(self, first: int, bank: Bank, kept: Tensor) -> None:
        for index, slots in enumerate(bank.of_layers(kept), first):
            self._stream[index] = self._stream[index].gather(1, slots.long())
        type(bank).compact(bank, kept)

    def _before(self, _module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        first = sum(f.count for f in self.forwards)
        region = self.session.cache.capped_layers[0].region
        if region is not Region.ROOM:
            self._room = self._room[:, :0]
        seen = [torch.cat([self._prefix, stream, self._room], 1) for stream in self._stream]
        embeddings, positions = kwargs["inputs_embeds"][0], kwargs["position_ids"]
        # Three axes agree on text, and on no step of several cells; one axis does not tell, and nobody asks it.
        provisional = region is Region.ROOM and positions.shape[0] == 3 and bool((positions[0] != positions[2]).any())
        forward = Forward(region, first, len(embeddings), embeddings.clone(), positions.clone(), seen, provisional)
        self.forwards.append(forward)
        own = forward.own.expand(self._prefix.shape[0], -1)
        if region is Region.PREFIX:
            self._prefix = own
        elif region is Region.STREAM:
            self._stream = [torch.cat([stream, own], 1) for stream in self._stream]
        else:
            self._room = torch.cat([self._room, own], 1)

    @property
    def embeddings(self) -> Tensor:
        """All tokens that ran, `[tokens, hidden]`."""
        return torch.cat([forward.embeddings for forward in self.forwards])

    @property
    def positions(self) -> Tensor:
        """The positions they ran at, `[axes, 1, tokens]` or `[1, tokens]`."""
        return torch.cat([forward.positions for forward in self.forwards], -1)

    def masks(self) -> list[Tensor]:
        """What each token saw, one bool `[heads, tokens, tokens]` a layer."""
        total, layers = sum(f.count for f in self.forwards), len(self.forwards[0].seen)
        heads = self.forwards[0].seen[0].shape[0]
        masks = [torch.zeros(heads, total, total, dtype=torch.bool) for _ in range(layers)]
        for forward in self.forwards:
            rows = slice(forward.first, forward.first + forward.count)
            for mask, seen in zip(masks, forward.seen, strict=True):
                for head in range(heads):
                    mask[head, rows, seen[head]] = True
                mask[:, rows, rows] = torch.ones(forward.count, forward.count, dtype=torch.bool).tril()
        return masks
