"""The packed forward: one pass over a video, many independent question rows beside it.

Uses the stock model's own parameters and computes what its forward would compute for every row on
the steps seen when it is asked, with explicit positions: text before the video counts 0..P-1 on all
axes, the token of step t, row h, column w lies at (P+t, P+h, P+w), text after the video starts one
past the largest of these. On one line (`line=True`, for the 1-D twin) every token takes the next position, the same on
all axes. The video's hidden states never depend on a question, so they are
computed once; a row attends to the prefix, to the steps before its own and to itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.pocket.build import TEXT
from training.fused import Fused, text_params, vision_params

if TYPE_CHECKING:
    from transformers import Qwen2VLForConditionalGeneration

SIDE = 4
TOKENS = SIDE * SIDE  # of a step
SECTIONS: list[int] = TEXT["rope_parameters"]["mrope_section"]  # rotary pairs: time, height, width
Turn = tuple[Tensor, Tensor]  # cos, sin


@lru_cache(maxsize=8)
def vision_turn(device: torch.device) -> Turn:
    """Rotary angles of the 64 patches in merge order, each [64, 1, 32]."""
    row = torch.arange(4).view(4, 1, 1, 1) * 2 + torch.arange(2).view(1, 1, 2, 1)
    column = torch.arange(4).view(1, 4, 1, 1) * 2 + torch.arange(2).view(1, 1, 1, 2)
    rates = 1 / 10000 ** (torch.arange(0, 16, 2) / 16)
    rows, columns = (axis.expand(4, 4, 2, 2).reshape(64, 1) for axis in (row, column))
    return _turn(torch.cat((rows * rates, columns * rates), -1)[:, None].to(device))


def text_turn(positions: Tensor) -> Turn:
    """Rotary angles at explicit positions [3, B, L], each [B, L, 1, 32]."""
    rates = 1 / 1e6 ** (torch.arange(0, 32, 2, device=positions.device) / 32)
    angles = positions[..., None].float() * rates
    parts = [angles[i] for i in range(3)]
    mixed = [part.split(SECTIONS, -1)[i] for i, part in enumerate(parts)]
    return _turn(torch.cat(mixed, -1)[:, :, None])


def _turn(angles: Tensor) -> Turn:
    twice = torch.cat((angles, angles), -1)
    return twice.cos(), twice.sin()


def video_positions(prefix: int, steps: int, device: torch.device, line: bool = False) -> Tensor:
    """Positions of the prefix and the video's tokens, [3, 1, prefix + 16 steps]."""
    if line:
        return torch.arange(prefix + steps * TOKENS, device=device).expand(3, 1, -1)
    before = torch.arange(prefix, device=device).expand(3, prefix)
    index = torch.arange(steps * TOKENS, device=device)
    axes = (index // TOKENS, index % TOKENS // SIDE, index % SIDE)
    return torch.cat((before, prefix + torch.stack(axes)), 1)[:, None]


def row_positions(prefix: int, ask_step: Tensor, length: int, line: bool = False) -> Tensor:
    """Positions of question rows asked after ask_step [B, R] steps, [3, B, R * length]."""
    start = prefix + (ask_step * TOKENS if line else ask_step.clamp(min=SIDE))
    places = start[..., None] + torch.arange(length, device=ask_step.device)
    return places.flatten(1).expand(3, -1, -1)


def row_mask(prefix: int, steps: int, ask_step: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """What the rows may see, additive, [B, 1, R * length, prefix + 16 steps + R * length]."""
    batch, rows = ask_step.shape
    device = ask_step.device
    step = torch.arange(steps, device=device).repeat_interleave(TOKENS)
    past = F.pad(step < ask_step[..., None], (prefix, 0), value=True)  # [B, R, video]
    past = past.repeat_interleave(length, 1)
    own = torch.block_diag(*[torch.ones(length, length, device=device).tril()] * rows).bool()
    seen = torch.cat((past, own.expand(batch, -1, -1)), -1)[:, None]
    width = -(-seen.shape[-1] // 16) * 16  # rows of the mask start on aligned addresses
    mask = torch.full((*seen.shape[:-1], width), float("-inf"), dtype=dtype, device=device)
    return mask[..., : seen.shape[-1]].masked_fill_(seen, 0)


def see(model: Qwen2VLForConditionalGeneration, patches: Tensor, fused: Fused, dtype: torch.dtype) -> Tensor:
    """The vision tower: patches [N, 64, 1176] -> tokens [N, 16, D]."""
    tower = model.model.visual
    weight = tower.patch_embed.proj.weight.flatten(1)
    x = F.linear(patches.to(dtype), weight.to(dtype)).float()
    cos, sin = vision_turn(x.device)
    for block in tower.blocks:
        before, after = vision_params(block)
        q, k, v = (t.transpose(1, 2) for t in fused.vision_in(x, before, cos, sin, dtype))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = fused.vision_out(x, seen, after, dtype)
    merger = tower.merger
    x = merger.ln_q(x).view(-1, TOKENS, 4 * x.shape[-1]).to(dtype)
    x = F.linear(x, merger.mlp[0].weight.to(dtype), merger.mlp[0].bias.to(dtype))
    return F.linear(F.gelu(x), merger.mlp[2].weight.to(dtype), merger.mlp[2].bias.to(dtype)).float()


def read(
    model: Qwen2VLForConditionalGeneration,
    prefix: Tensor,
    video: Tensor,
    tokens: Tensor,
    ask_step: Tensor,
    fused: Fused,
    dtype: torch.dtype,
    line: bool = False,
) -> Tensor:
    """The language model: hidden states of the rows.

    prefix [P] ids, video [B, S, 16, D] embeddings, tokens [B, R, T] ids, ask_step [B, R] -> [B, R, T, D].
    """
    text = model.model.language_model
    (batch, rows, length), steps = tokens.shape, video.shape[1]
    opening = text.embed_tokens(prefix).expand(batch, -1, -1)
    x = torch.cat((opening, video.flatten(1, 2)), 1)
    y = text.embed_tokens(tokens).flatten(1, 2)
    x_turn = text_turn(video_positions(len(prefix), steps, x.device, line))
    y_turn = text_turn(row_positions(len(prefix), ask_step, length, line))
    mask = row_mask(len(prefix), steps, ask_step, length, dtype)
    for index, layer in enumerate(text.layers):
        before, after = text_params(layer)
        q, k, v = _heads(fused.text_in(x, before, *x_turn, dtype))
        row_q, row_k, row_v = _heads(fused.text_in(y, before, *y_turn, dtype))
        seen = _attend(row_q, torch.cat((k, row_k), 2), torch.cat((v, row_v), 2), mask)
        y = fused.text_out(y, seen, after, dtype)
        if index + 1 < len(text.layers):  # nobody reads the video after the last layer
            x = fused.text_out(x, _attend(q, k, v, None), after, dtype)
    hidden: Tensor = text.norm(y)
    return hidden.view(batch, rows, length, -1)


def _heads(parts: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """[B, L, heads, 32] -> [B, 8, L, 32], keys and values repeated for their query heads."""
    q, k, v = (part.transpose(1, 2) for part in parts)
    group = q.shape[1] // k.shape[1]
    return q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    return seen.transpose(1, 2).flatten(2)
