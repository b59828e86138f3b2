"""A full cache that sees only what an evicted one still held, layer by layer and head by head.

transformers has one mask and one set of positions for all layers, and kept sets differ by layer and head. So an
attention function of our own, registered by transformers' public `AttentionInterface`, is in force for one plain
forward over the whole video. It runs piece by piece, as the session did, over the keys that were visible to each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from infinipot_v.policies.base import KVView, Note, Policy

NAME = "infinipot_v_masked"
_IN_FORCE: dict[int, Any] = {}


@dataclass(frozen=True)
class Watching(Policy):
    """Another policy, whose choices are written down: `choices[layer]` lists kept slots `[heads, n]`.

    Where it is shown several layers at once, that is the first of them, and the heads are those of all.
    """

    name: ClassVar[str] = "watching"

    inner: Policy
    choices: dict[int, list[Tensor]] = field(default_factory=dict)

    @property
    def by_head(self) -> bool:  # type: ignore[override]
        """As the other policy: what is checked is what runs."""
        return self.inner.by_head

    def select(self, view: KVView, keep: int) -> Tensor:
        """As the other policy, and written down."""
        kept = self.inner.select(view, keep)
        self.choices.setdefault(view.layer, []).append(kept.long().cpu())
        return kept

    def on_step(self, view: KVView) -> Tensor | None:
        """As the other policy."""
        return self.inner.on_step(view)

    def calibrate(self, view: KVView) -> Note | None:
        """As the other policy."""
        return self.inner.calibrate(view)

    def rescore(self, view: KVView) -> Tensor | None:
        """As the other policy."""
        return self.inner.rescore(view)


@dataclass(frozen=True)
class Piece:
    """Tokens `start` to `stop` of a run, and per layer the earlier tokens that they saw, `[heads, n]`."""

    start: int
    stop: int
    seen: list[Tensor]


class Book:
    """Which tokens of the whole run every capped layer and head held when each piece of it was run.

    Follows the policy's choices by itself: what the cache has written on its slots is not asked.
    """

    def __init__(self, policy: Watching, heads: list[int]) -> None:
        self._policy, self._followed = policy, [0] * len(heads)
        self._prefix = 0
        self._held = [torch.zeros(count, 0, dtype=torch.long) for count in heads]
        self.pieces: list[Piece] = []

    def held(self) -> list[Tensor]:
        """Per layer the stream's tokens that are held, `[heads, n]`: all but the prefix and the last piece."""
        last = self.pieces[-1].stop - self.pieces[-1].start
        return [tokens[:, : tokens.shape[1] - last] for tokens in self._held]

    def _follow(self) -> None:
        """Let go what the policy has let go since."""
        for layer, choices in self._policy.choices.items():
            for kept in choices[self._followed[layer] :]:
                for index, slots in enumerate(kept.split(len(self._held[layer])), layer):
                    self._held[index] = self._held[index].gather(1, slots)
            self._followed[layer] = len(choices)

    def before(self, tokens: int) -> None:
        """A piece of `tokens` is about to run: the first is the prefix, all others are steps or the question."""
        self._follow()
        start = self.pieces[-1].stop if self.pieces else 0
        always = torch.arange(self._prefix)
        self.pieces.append(
            Piece(start, start + tokens, [torch.cat([always.expand(len(h), -1), h], 1) for h in self._held])
        )
        if start:
            own = torch.arange(start, start + tokens)
            self._held = [torch.cat([held, own.expand(len(held), -1)], 1) for held in self._held]
        else:
            self._prefix = tokens


@contextmanager
def seeing(hf: Any, layers: dict[int, int], book: Book, frequencies: Tensor | None = None) -> Iterator[None]:
    """Let the language model's layers (index in the model -> capped index) see what the book says.

    With `frequencies` `[pairs]`, queries and keys are expected un-rotated, and turn to their place among what is seen.
    """
    with another_attention(hf):
        _IN_FORCE.update({index: (book, inner, frequencies) for index, inner in layers.items()})
        yield


@contextmanager
def another_attention(hf: Any) -> Iterator[None]:
    """Run the language model with the attention of this file, which is plain softmax under the model's own mask."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    text = hf.config.get_text_config(decoder=True)
    before = text._attn_implementation
    text._attn_implementation = NAME
    try:
        yield
    finally:
        text._attn_implementation = before
        _IN_FORCE.clear()


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """transformers' contract; a layer that is not capped keeps the model's own mask."""
    given = _IN_FORCE.get(int(module.layer_idx))  # type: ignore[arg-type]
    if given is None:
        mixed = _mixed(query[0], key[0], value[0], scaling, mask)
    else:
        book, layer, frequencies = given
        parts = [_piece(query[0], key[0], value[0], scaling, p, p.seen[layer], frequencies) for p in book.pieces]
        mixed = torch.cat(parts, 1)
    return mixed[None].transpose(1, 2).contiguous(), None


def _piece(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, piece: Piece, seen: Tensor, frequencies: Tensor | None
) -> Tensor:
    """One piece's queries over what they saw and over themselves, `[query_heads, n, dim]`."""
    own = torch.arange(piece.start, piece.stop)
    ids = torch.cat([seen, own.expand(len(seen), -1)], 1).to(key.device)
    wide = ids[..., None].expand(-1, -1, key.shape[2])
    keys, values, queries = key.gather(1, wide), value.gather(1, ids[..., None].expand(-1, -1, value.shape[2])), query
    queries = query[:, piece.start : piece.stop]
    count, total = len(own), ids.shape[1]
    if frequencies is not None:
        places = torch.arange(total, device=key.device)
        keys, queries = _turned(keys, places, frequencies), _turned(queries, places[-count:], frequencies)
    hidden = torch.zeros(count, total, dtype=query.dtype, device=query.device)
    hidden[:, total - count :] = torch.full((count, count), -torch.inf).triu(1)
    return _mixed(queries, keys, values, scaling, hidden)


def _mixed(query: Tensor, key: Tensor, value: Tensor, scaling: float, mask: Tensor | None) -> Tensor:
    """Plain softmax attention, `[heads, n, dim]`, in the model's dtype but for the softmax."""
    groups = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
    scores = query @ key.transpose(1, 2) * scaling
    if mask is not None:
        scores = scores + mask.reshape(-1, *mask.shape[-2:])[..., : key.shape[1]]
    return scores.softmax(-1, dtype=torch.float32).to(query.dtype) @ value


def _turned(vectors: Tensor, places: Tensor, frequencies: Tensor) -> Tensor:
    """Rotate `[heads, n, dim]`: dimension j with j + dim / 2, by its place times the j-th frequency."""
    angles = places[:, None] * frequencies.float().to(places.device)
    cos, sin, half = angles.cos(), angles.sin(), frequencies.numel()
    first, second, rest = vectors.float().split([half, half, vectors.shape[2] - 2 * half], 2)
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], 2).to(vectors.dtype)
