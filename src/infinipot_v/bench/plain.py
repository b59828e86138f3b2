"""Plain Hugging Face over what a session ran: the same embeddings at the same positions, at once or in pieces.

Family-agnostic: what enters the language model is written down while the session runs, and given to the stock model
again. So vision and prompt are not compared here, only what our cache makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from infinipot_v.naming import cache_name


@dataclass
class Run:
    """What went through a language model, call by call: `embeddings` and `states` `[tokens, hidden]`, `positions`
    `[1, tokens]` or `[axes, 1, tokens]`."""

    embeddings: list[Tensor] = field(default_factory=list)
    positions: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)


@contextmanager
def recorded(hf: Any) -> Iterator[Run]:
    """Write down every call of the language model while the context is open."""
    run, decoder = Run(), hf.get_decoder()

    def before(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        run.embeddings.append(kwargs["inputs_embeds"][0])
        run.positions.append(kwargs["position_ids"])

    hooks = [
        decoder.register_forward_pre_hook(before, with_kwargs=True),
        decoder.register_forward_hook(lambda _m, _a, output: run.states.append(output.last_hidden_state[0])),
    ]
    try:
        yield run
    finally:
        for hook in hooks:
            hook.remove()


STOCK = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""Attention of transformers' own."""


@contextmanager
def stock(hf: Any) -> Iterator[None]:
    """Inside this block the language model attends as transformers does: `sdpa` in place of a function of ours."""
    config = hf.get_decoder().config
    before = config._attn_implementation
    config._attn_implementation = before if before in STOCK else "sdpa"
    try:
        yield
    finally:
        config._attn_implementation = before


@torch.no_grad()
def one_shot(hf: Any, run: Run) -> Tensor:
    """Last hidden states `[tokens, hidden]` of one stock forward over everything, without a cache."""
    with stock(hf):
        output = hf.get_decoder()(
            inputs_embeds=torch.cat(run.embeddings)[None], position_ids=torch.cat(run.positions, -1), use_cache=False
        )
    states: Tensor = output.last_hidden_state[0]
    return states


@torch.no_grad()
def in_pieces(hf: Any, run: Run) -> Tensor:
    """The same in the pieces that the session ran, with Hugging Face's own growing cache."""
    cache, states, decoder = None, list[Tensor](), hf.get_decoder()
    name = cache_name(decoder)
    for embeddings, positions in zip(run.embeddings, run.positions, strict=True):
        with stock(hf):
            output: Any = decoder(
                inputs_embeds=embeddings[None], position_ids=positions, use_cache=True, **{name: cache}
            )
        cache = output[name]
        states.append(output.last_hidden_state[0])
    return torch.cat(states)


@torch.no_grad()
def logits_of(hf: Any, states: Tensor) -> Tensor:
    """Logits of states `[tokens, hidden]`, float32 `[tokens, vocabulary]`."""
    logits: Tensor = hf.get_output_embeddings()(states).float()
    return logits
