"""The oracle of eviction: a full cache whose evicted slots are masked, per layer and head, through the whole stream.

transformers has one mask for all layers, and kept sets differ by layer and head: so an attention function of our own,
for tests only, with a mask a layer. It is in force in one plain forward over the whole video and the question.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from infinipot_v.session import Session

NAME = "masked_oracle"
MASKS: dict[int, Tensor] = {}


def masked_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Plain softmax attention under `MASKS[layer]`, bool `[kv_heads, queries, keys]`."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    allowed = MASKS[module.layer_idx].repeat_interleave(groups, 0)  # type: ignore[index]
    scores = (query @ key.transpose(2, 3) * scaling).masked_fill(~allowed, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2).contiguous(), None


@contextmanager
def masked(model: Any, masks: list[Tensor]) -> Iterator[None]:
    """Run the language model's attention under these masks, one a layer."""
    AttentionInterface.register(NAME, masked_attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    text = model.config.get_text_config(decoder=True)
    before = text._attn_implementation
    MASKS.update(enumerate(masks))
    text._attn_implementation = NAME
    try:
        yield
    finally:
        text._attn_implementation = before
        MASKS.clear()


class Visibility:
    """Watches a session and writes down, forward by forward, what every layer and head could see."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rows: list[list[Tensor]] = []
        self._prefix = len(session._prefix)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record while the session's language model runs."""
        decoder = self.session.model.hf.get_decoder()
        hook = decoder.register_forward_pre_hook(self._before, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def _before(self, _module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        queries = kwargs["inputs_embeds"].shape[1]
        seen = sum(row[0].shape[1] for row in self.rows)
        self.rows.append([self._row(layer.store, seen, queries) for layer in self.session.cache._capped])

    def _row(self, store: Any, seen: int, queries: int) -> Tensor:
        """Bool `[heads, queries, seen + queries]`: the prefix, the held slots by their labels, the room, and itself."""
        visible = torch.zeros(store.shape.heads, queries, seen + queries, dtype=torch.bool)
        visible[:, :, : self._prefix] = True
        grid = self.session.cache.grid
        for head in range(store.shape.heads):
            for step, cell in zip(store.steps[head, : store.held], store.cells[head, : store.held], strict=True):
                visible[head, :, self._prefix + int(step) * grid.tokens + int(cell)] = True
        room = store.length - store.held - min(self._prefix, store.length)
        visible[:, :, seen - room :] = True
        visible[:, :, seen:] = torch.ones(queries, queries, dtype=torch.bool).tril()
        return visible

    def masks(self, tokens: int) -> list[Tensor]:
        """One mask a layer, bool `[heads, tokens, tokens]`, of everything recorded."""
        layers = len(self.rows[0])
        padded = [
            [torch.nn.functional.pad(row[i], (0, tokens - row[i].shape[2])) for row in self.rows] for i in range(layers)
        ]
        return [torch.cat(rows, 1)[:, :tokens] for rows in padded]
