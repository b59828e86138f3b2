"""The oracle of retrieval: window, choice and fetching in loops, inside one plain forward over all that was run.

Positions are put in here and not by the model, so queries and keys come without a rotation: what the choice is made by.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tests.oracle.attention import attending


@dataclass
class Ran:
    """What a language model ran: one entry a forward, embeddings `[tokens, hidden]` and positions `[axes, tokens]`."""

    embeddings: list[Tensor] = field(default_factory=list)
    positions: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)

    def starts(self) -> list[int]:
        """Number of the first token of every forward, and of the one behind the last."""
        return [sum(len(e) for e in self.embeddings[:index]) for index in range(len(self.embeddings) + 1)]


@contextmanager
def running(model: Any) -> Iterator[Ran]:
    """Write down every forward of the language model."""
    ran, decoder = Ran(), model.hf.get_decoder()

    def before(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        ran.embeddings.append(kwargs["inputs_embeds"][0].clone())
        ran.positions.append(kwargs["position_ids"].reshape(-1, kwargs["inputs_embeds"].shape[1]).clone())

    hooks = [
        decoder.register_forward_pre_hook(before, with_kwargs=True),
        decoder.register_forward_hook(lambda _m, _a, out: ran.states.append(out.last_hidden_state[0])),
    ]
    try:
        yield ran
    finally:
        for hook in hooks:
            hook.remove()


class Looped:
    """ReKV over forwards that are, in this order: the prefix, `steps` steps, the question to fetch by, the answer's.

    `chosen` fills while it runs: the steps fetched by each layer, ascending. `ranked` gives every token the position of
    its rank among what is seen (1-D); otherwise tokens keep the positions they ran at.
    """

    def __init__(self, model: Any, ran: Ran, steps: int, local: int, blocks: int, ranked: bool) -> None:
        self.model, self.steps, self.local, self.blocks, self.ranked = model, steps, local, blocks, ranked
        starts = ran.starts()
        self.forwards = [list(range(a, b)) for a, b in itertools.pairwise(starts)]
        self.embeddings, self.positions = torch.cat(ran.embeddings), torch.cat(ran.positions, 1)
        self.chosen: list[list[int]] = []

    def window(self, before: int) -> list[int]:
        """The newest whole steps before step `before` that hold at most `local` tokens together."""
        held: list[int] = []
        for step in reversed(range(before)):
            if sum(len(self.forwards[1 + s]) for s in [*held, step]) > self.local:
                break
            held.insert(0, step)
        return held

    def tokens(self, steps: list[int]) -> list[int]:
        """Numbers of all tokens of some steps."""
        return [token for step in steps for token in self.forwards[1 + step]]

    @torch.no_grad()
    def logits(self) -> Tensor:
        """Logits of every token, `[tokens, vocabulary]`."""
        decoder = self.model.hf.get_decoder()
        still = torch.zeros_like(self.positions)
        still = still if len(still) == 1 else still[:, None]
        with attending(self.model.hf, self._attention):
            out = decoder(inputs_embeds=self.embeddings[None], position_ids=still, use_cache=False)
        return self.model.hf.get_output_embeddings()(out.last_hidden_state[0])

    def _attention(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        fetched = self._fetched(query, key)
        mixed, groups, room = torch.zeros_like(query), len(query) // len(key), []
        for number, own in enumerate(self.forwards):
            if number == 0:
                seen = []
            elif number <= self.steps:
                seen = self.forwards[0] + self.tokens(self.window(number - 1))
            else:
                seen = self.forwards[0] + fetched + self.tokens(self.window(self.steps)) + room
            if number > self.steps + 1:  # what ran before, for the fetching, was forgotten
                room = room + own
            ids = seen + own
            where = torch.arange(len(ids))[None] if self.ranked else self.positions[:, ids]
            hidden = torch.ones(len(own), len(own), dtype=torch.bool).triu(1)
            for head in range(len(query)):
                keys = self._turned(key[head // groups, ids], where)
                scores = self._turned(query[head, own], where[:, -len(own) :]) @ keys.T * scaling
                scores[:, -len(own) :] = scores[:, -len(own) :].masked_fill(hidden, -torch.inf)
                mixed[head, own] = scores.softmax(-1) @ value[head // groups, ids]
        return mixed

    def _fetched(self, query: Tensor, key: Tensor) -> list[int]:
        """Tokens that a layer fetches, in the order of time; its choice is added to `chosen`."""
        outside = [step for step in range(self.steps) if step not in self.window(self.steps)]
        if not outside:
            self.chosen.append([])
            return []
        asked, groups = self.forwards[self.steps + 1], len(query) // len(key)
        wanted = torch.cat([query[head, asked].mean(0) for head in range(len(query))])
        likeness = {}
        for step in outside:
            ids = self.forwards[1 + step]
            mean = torch.cat([key[head // groups, ids].mean(0) for head in range(len(query))])
            likeness[step] = float(torch.nn.functional.cosine_similarity(wanted, mean, dim=0))
        best = sorted(outside, key=lambda step: likeness[step], reverse=True)[: self.blocks]
        self.chosen.append(sorted(best))
        left = sum(sorted(len(self.forwards[1 + step]) for step in outside)[: self.blocks])
        taken: dict[int, list[int]] = {}
        for step in best:
            taken[step] = self.forwards[1 + step][:left]
            left -= len(taken[step])
        return [token for step in sorted(taken) for token in taken[step]]

    def _turned(self, vectors: Tensor, where: Tensor) -> Tensor:
        """Rotate `[n, dim]`: dimension j with j + dim / 2, by its frequency times the position on its axis."""
        half, out = vectors.shape[-1] // 2, vectors.double()
        rope = self.model.text_config.rope_parameters
        sections = rope.get("mrope_section", [half])
        axes = [axis for axis, pairs in enumerate(sections) for _ in range(pairs)]
        stretched = rope["factor"] if rope["rope_type"] == "linear" else 1.0
        for j, axis in enumerate(axes):
            angle = where[axis] * (rope["rope_theta"] ** (-j / half) / stretched)
            cos, sin = angle.double().cos(), angle.double().sin()
            first, second = vectors[:, j].double(), vectors[:, j + half].double()
            out[:, j], out[:, j + half] = first * cos - second * sin, second * cos + first * sin
        return out.to(vectors.dtype)
