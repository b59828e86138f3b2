"""The oracle of eviction: attention in loops, over what a recording says that every layer and head could see.

transformers has one mask and one set of positions for all layers, and kept sets differ by layer and head: so attention
functions of our own, for tests only, in force in one plain forward over everything that a session ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from infinipot_v.cache.slots import Region
from tests.oracle.recording import Forward, Recording

NAME = "oracle"
Attention = Callable[[int, Tensor, Tensor, Tensor, float], Tensor]
ACTIVE: list[Attention] = []


def _registered(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    mixed = ACTIVE[-1](module.layer_idx, query[0], key[0], value[0], scaling)  # type: ignore[arg-type]
    return mixed[None].transpose(1, 2).contiguous(), None


@contextmanager
def attending(model: Any, attention: Attention) -> Iterator[None]:
    """Run the language model's layers with `attention(layer, query, key, value, scaling)`, all `[heads, n, dim]`."""
    AttentionInterface.register(NAME, _registered)
    AttentionMaskInterface.register(NAME, eager_mask)
    text = model.config.get_text_config(decoder=True)
    before = text._attn_implementation
    ACTIVE.append(attention)
    text._attn_implementation = NAME
    try:
        yield
    finally:
        text._attn_implementation = before
        ACTIVE.pop()


@torch.no_grad()
def logits_of(model: Any, recording: Recording, attention: Attention | None, positions: Tensor) -> Tensor:
    """Logits of every token that a session ran, in one plain forward without a cache."""
    decoder = model.hf.get_decoder()
    arguments = {"inputs_embeds": recording.embeddings[None], "position_ids": positions, "use_cache": False}
    if attention is None:
        return model.hf.get_output_embeddings()(decoder(**arguments).last_hidden_state[0])
    with attending(model.hf, attention):
        return model.hf.get_output_embeddings()(decoder(**arguments).last_hidden_state[0])


def masked(recording: Recording) -> Attention:
    """Keys keep the positions they were written at; a full cache with what was evicted masked."""
    masks = recording.masks()

    def attention(layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        groups = query.shape[0] // key.shape[0]
        key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
        allowed = masks[layer].repeat_interleave(groups, 0)
        scores = (query @ key.transpose(1, 2) * scaling).masked_fill(~allowed, -torch.inf)
        return scores.softmax(-1) @ value

    return attention


KeyPositions = Callable[[Forward, int, int], Tensor]


def ranked(recording: Recording, key_positions: KeyPositions, frequencies: Tensor) -> Attention:
    """Queries and keys come un-rotated on the axis that is re-assigned, and turn to their positions at that moment.

    `key_positions(forward, layer, head)` are those of what is seen and of the forward's own tokens, `[seen + own]`.
    """

    def attention(layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        mixed, groups = torch.zeros_like(query), query.shape[0] // key.shape[0]
        for forward in recording.forwards:
            rows, n = slice(forward.first, forward.first + forward.count), forward.count
            for head in range(key.shape[0]):
                ids = torch.cat([forward.seen[layer][head], forward.own])
                where = key_positions(forward, layer, head)
                hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
                for q in range(head * groups, (head + 1) * groups):
                    scores = (
                        turned(query[q, rows], where[-n:], frequencies) @ turned(key[head, ids], where, frequencies).T
                    )
                    scores = scores * scaling
                    scores[:, -n:] = scores[:, -n:].masked_fill(hidden, -torch.inf)
                    mixed[q, rows] = scores.softmax(-1) @ value[head, ids]
        return mixed

    return attention


def turned(vectors: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    """Rotate `[n, dim]`: dimension j with j + dim / 2, by position times the j-th frequency; in float64, in a loop."""
    half, out = vectors.shape[-1] // 2, vectors.double()
    for j, frequency in enumerate(frequencies.double()):
        cos, sin = (positions * frequency).cos(), (positions * frequency).sin()
        first, second = vectors[:, j].double(), vectors[:, j + half].double()
        out[:, j], out[:, j + half] = first * cos - second * sin, second * cos + first * sin
    return out.to(vectors.dtype)


def slot_ranks(forward: Forward, layer: int, head: int) -> Tensor:
    """1-D: a token's position is its place among what is seen."""
    return torch.arange(forward.seen[layer].shape[1] + forward.count)


def step_ranks(recording: Recording, time_of: Callable[[int], int], said: Sequence[int] | None = None) -> KeyPositions:
    """M-RoPE's time axis: steps are counted back from the newest, per head; `time_of(rank)` is a rank's index.

    `said` is how many text tokens each step has; each of them counts as a step.
    """
    canvas = recording.session._at.canvas
    assert canvas is not None
    start = recording.forwards[0].count
    extent = max(canvas.grid.height, canvas.grid.width)
    step_of = _steps_of(recording, canvas.grid.tokens, said)
    steps_before = {f.first: _newest(f, step_of) for f in recording.forwards}

    def positions(forward: Forward, layer: int, head: int) -> Tensor:
        if forward.region is Region.PREFIX:
            return torch.arange(forward.count)
        ranks = steps_before[forward.first]
        room = _beside(recording.forwards, forward)
        shown = room[0].own.tolist() if room and room[0].provisional else []
        seen = forward.seen[layer][head].tolist()
        held = sorted({step_of[i] for i in seen if i in step_of})
        # Ranks of what was there before this forward; its own steps follow.
        where = [start + time_of(ranks - len(held) + held.index(step_of[i])) if i in step_of else i for i in seen]
        where = [start + time_of(ranks) if i in shown else w for i, w in zip(seen, where, strict=True)]
        if forward.region is Region.STREAM:
            steps = [step_of[i] for i in forward.own.tolist()]
            own = [start + time_of(ranks + step - steps[0]) for step in steps]
        elif forward.provisional:
            own = [start + time_of(ranks)] * forward.count
        else:
            last = time_of(ranks - 1 + bool(shown)) if ranks or shown else -1
            text = start + max(extent, last + 1)
            behind = sum(f.count for f in room if f.first < forward.first and not f.provisional)
            own = [text + behind + j for j in range(forward.count)]
            earlier = [i for f in room if f.first < forward.first and not f.provisional for i in f.own.tolist()]
            where = [text + earlier.index(i) if i in earlier else w for i, w in zip(seen, where, strict=True)]
        return torch.tensor([*where, *own])

    return positions


def _steps_of(recording: Recording, cells: int, said: Sequence[int] | None) -> dict[int, int]:
    """The step of every token of the stream; what ran in the room between two steps is counted by nobody."""
    streamed = [i for f in recording.forwards if f.region is Region.STREAM for i in f.own.tolist()]
    sizes = [cells] * (len(streamed) // cells) if said is None else [n for k in said for n in (cells, *[1] * k)]
    places = [place for place, size in enumerate(sizes) for _ in range(size)]
    return dict(zip(streamed, places, strict=True))


def _newest(forward: Forward, step_of: dict[int, int]) -> int:
    """The most different steps that one head of one layer held before a forward."""
    return max(len({step_of[i] for i in head.tolist() if i in step_of}) for seen in forward.seen for head in seen)


def _beside(forwards: list[Forward], forward: Forward) -> list[Forward]:
    """All that was in the room together with a forward there: between two steps of the stream, or behind the last."""
    room: list[Forward] = []
    for other in forwards:
        if other.region is Region.ROOM:
            room.append(other)
        elif any(one is forward for one in room):
            break
        else:
            room = []
    return room if forward.region is Region.ROOM else []
