"""From recorded states to logits, and how far plain Hugging Face differs from itself when it runs in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infinipot_v.naming import cache_name
from infinipot_v.verify.recording import Recording

SAMPLED = 64
"""Tokens whose logits are compared: vocabularies are large."""

SHARE = {torch.float32: 1e-4, torch.bfloat16: 6e-2, torch.float16: 1e-2}
"""What rounding may change at most, by dtype: logits by this share of their spread, embeddings by twice this share."""


def share_of(dtype: torch.dtype) -> float:
    """`SHARE` of a dtype; other ones are coarser than all of these."""
    return SHARE.get(dtype, max(SHARE.values()))


def embeddings_apart(ours: Tensor, theirs: Tensor) -> Tensor:
    """By how much of themselves embeddings `[tokens, hidden]` differ, `[tokens]`.

    Of whole vectors: trained towers have a few very large numbers, whose rounding says little of the others.
    """
    norms: Tensor = torch.linalg.vector_norm(theirs, dim=1)
    apart: Tensor = torch.linalg.vector_norm(ours - theirs, dim=1)
    return apart / norms.clamp_min(1e-6 * float(norms.max()))


def chosen_tokens(count: int) -> Tensor:
    """At most `SAMPLED` token numbers, evenly spread, first and last among them."""
    return torch.linspace(0, count - 1, min(SAMPLED, count)).long()


@torch.no_grad()
def logits_of(hf: Any, run: Recording) -> Tensor:
    """Logits of the chosen tokens, float32 `[tokens, vocabulary]`; the last as the stock model gave them."""
    states = torch.cat(run.states)
    logits: Tensor = hf.get_output_embeddings()(states[chosen_tokens(len(states)).to(states.device)]).float()
    assert run.logits is not None, "a run ends in logits"
    logits[-1] = run.logits
    return logits


@torch.no_grad()
def rerun(hf: Any, plain: Recording, inputs: Tensor, pieces: Sequence[int]) -> float:
    """The largest difference of a plain run's logits from plain Hugging Face's own when it runs again.

    That is with these embeddings `[tokens, hidden]`, at the same positions, in `pieces`, with transformers' own cache.
    """
    states, done, cache = list[Tensor](), 0, None
    places, decoder = _given(plain), hf.get_decoder()
    name = cache_name(decoder)
    for count in pieces:
        part = slice(done, done + count)
        where = {} if places is None else {"position_ids": places[..., part]}
        out: Any = decoder(inputs_embeds=inputs[None, part], use_cache=True, **{name: cache}, **where)
        states.append(out.last_hidden_state[0])
        cache, done = out[name], done + count
    again, whole, head = torch.cat(states), torch.cat(plain.states), hf.get_output_embeddings()
    chosen = chosen_tokens(len(whole)).to(whole.device)
    return float((head(again[chosen]).float() - head(whole[chosen]).float()).abs().max())


def _given(run: Recording) -> Tensor | None:
    """The positions that the plain forward was given, in the shape that a decoder takes."""
    given = run.positions[0]
    return None if given is None else as_given(given)


def as_given(places: Tensor) -> Tensor:
    """Positions `[axes, tokens]` in the shape that a decoder takes: `[1, tokens]`, or `[axes, 1, tokens]`."""
    return places if places.shape[0] == 1 else places[:, None]
