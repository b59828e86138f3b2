"""What goes through a stock model, written down by hooks at places that every family has.

The same hooks are in force while our session runs and while plain Hugging Face runs, so the two can be laid side by
side: what enters the vision tower, which token ids are embedded, and what enters and leaves the language model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Recording:
    """`entered`: inputs of the vision tower's first layer with weights, call by call. `ids`: what was embedded.

    `embeddings`, `states`: the language model's inputs and last hidden states, each `[tokens, hidden]`, call by call;
    `positions` `[axes, tokens]` as it was given them (None: it counts by itself). `logits`: the last call's
    `[vocabulary]`, float32, or None.
    """

    entered: list[Tensor] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    embeddings: list[Tensor] = field(default_factory=list)
    positions: list[Tensor | None] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    logits: Tensor | None = None

    @property
    def pictures(self) -> Tensor:
        """Everything that entered the vision tower, `[patches or frames, ...]`, float32."""
        return torch.cat([part.float() for part in self.entered])

    @property
    def inputs(self) -> Tensor:
        """Everything that entered the language model, float32 `[tokens, hidden]`."""
        return torch.cat([part.float() for part in self.embeddings])

    @property
    def pieces(self) -> list[int]:
        """Tokens a call of the language model."""
        return [part.shape[0] for part in self.embeddings]

    @property
    def places(self) -> Tensor:
        """All positions, int64 `[axes, tokens]`, on the CPU; a call without any counts on from the one before."""
        parts, counted = [], 0
        for given, count in zip(self.positions, self.pieces, strict=True):
            parts.append(torch.arange(counted, counted + count)[None] if given is None else given.cpu().long())
            counted += count
        axes = max(part.shape[0] for part in parts)
        return torch.cat([part.expand(axes, -1) for part in parts], 1)


@contextmanager
def recording(hf: Any) -> Iterator[Recording]:
    """Record every forward of `hf`, a stock model, while the context is open."""
    record, decoder, door = Recording(), hf.get_decoder(), list[nn.Module]()

    def entering(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        if given is not None and given.is_floating_point():
            door.append(module)
            if door[0] is module:
                record.entered.append(given.detach().clone())

    def reading(_module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        record.embeddings.append(kwargs["inputs_embeds"][0].detach())
        record.positions.append(_axes(kwargs.get("position_ids")))

    hooks = [leaf.register_forward_pre_hook(entering, with_kwargs=True) for leaf in _outside(hf, decoder)]
    hooks += [
        decoder.register_forward_pre_hook(reading, with_kwargs=True),
        decoder.register_forward_hook(lambda _m, _a, out: record.states.append(out.last_hidden_state[0].detach())),
        hf.get_input_embeddings().register_forward_pre_hook(lambda _m, a: record.ids.extend(a[0].flatten().tolist())),
        hf.register_forward_hook(lambda _m, _a, out: setattr(record, "logits", out.logits[0, -1].detach().float())),
    ]
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def _outside(hf: Any, decoder: nn.Module) -> list[nn.Module]:
    """Layers with weights of their own that belong neither to the language model nor to its two ends."""
    inside = {*decoder.modules(), hf.get_input_embeddings(), hf.get_output_embeddings()}
    return [
        module for module in hf.modules()
        if module not in inside and next(module.parameters(recurse=False), None) is not None
    ]  # fmt: skip


def _axes(positions: Tensor | None) -> Tensor | None:
    """`[axes, tokens]` of `[1, tokens]`, `[axes, 1, tokens]`, or transformers' `[1 + axes, 1, tokens]` (text first)."""
    if positions is None:
        return None
    if positions.dim() == 2:
        return positions.detach()
    return positions[-3:, 0].detach() if positions.shape[0] == 4 else positions[:, 0].detach()
