"""The layers of a capped cache: which of a model's layers are capped, and how the others are copied.

Only full-attention layers are capped. Sliding, linear (recurrent) and convolution layers are bounded by nature and
keep transformers' own kind; their state is counted in the cap, rolled back and snapshot with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicCache, DynamicLayer

from infinipot_v.cache.rotation import Rotation
from infinipot_v.cache.slots import Region, Shape, SlotStore
from infinipot_v.naming import cache_name
from infinipot_v.types import RoomFull, UserError

_BOUNDED_KINDS = {"DynamicSlidingWindowLayer", "LinearAttentionLayer", "DummyLayer"}


class CappedLayer(CacheLayerMixin):
    """One full-attention layer: transformers' contract over a `SlotStore`. `region` says where `update` writes.

    With a `rotation`, keys of the stream are stored un-rotated, and `update` returns them turned (positions="compact").
    """

    is_sliding = False
    is_croppable = True

    def __init__(self, store: SlotStore, rotation: Rotation | None = None) -> None:
        self.store = store
        self.rotation = rotation
        self.region = Region.ROOM
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_initialized = True
        self.dtype, self.device = store.shape.dtype, store.shape.device

    @property
    def keys(self) -> Tensor:
        """Keys of all filled slots as they are stored, a view `[1, heads, length, key_dim]`."""
        return self.store.filled()[0]

    @keys.setter
    def keys(self, _value: object) -> None:
        """The base class clears its tensors on construction; the store's are allocated once and stay."""

    @property
    def values(self) -> Tensor:
        """Values of all filled slots, a view `[1, heads, length, value_dim]`."""
        return self.store.filled()[1]

    @values.setter
    def values(self, _value: object) -> None:
        """See `keys`."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is lazy here: the store was allocated from the model's configuration."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write `[1, heads, n, dim]` and return all filled slots. Raises `RoomFull` before anything is written."""
        if key_states.shape[0] != 1:
            raise UserError(f"a capped cache watches one stream; a batch of {key_states.shape[0]} needs as many caches")
        n, limit = key_states.shape[2], self.store.limits[self.region]
        if not self.store.fits(self.region, n):
            used = self.store.used[self.region]
            raise RoomFull(
                f"{n} tokens do not fit the {self.region.value} of {limit} slots ({used} used): "
                + ("open a larger one with Budget(room=...)" if self.region is Region.ROOM else "announce them first")
            )
        if self.rotation is None:
            self.store.write(self.region, key_states, value_states)
            return self.store.filled()
        if self.region is Region.STREAM:
            key_states = self.rotation.undo(key_states, self.store)
        self.store.write(self.region, key_states, value_states)
        return self.rotation.read(self.store), self.values

    def get_seq_length(self) -> int:
        """Filled slots. This is a length, never a position."""
        return self.store.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The mask lives in slot space, so an eviction is invisible to it."""
        return self.store.length + query_length, 0

    def get_max_length(self) -> int:
        """No maximum as far as transformers' mask and generation code is concerned; `update` guards the room."""
        return -1

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the last `-tokens_to_remove` tokens of the room, as assisted decoding asks for."""
        used = self.store.used
        left = used[Region.ROOM] - abs(int(tokens_to_remove))
        if tokens_to_remove > 0 or left < 0:
            raise UserError("only tokens of the room can be cropped, and by a negative number; the memory stays")
        self.store.truncate(used[Region.PREFIX], used[Region.STREAM], left)

    def reset(self) -> None:
        """Forget everything; the buffers stay."""
        self.store.truncate(0, 0)
        self.store.note = None

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Beam search needs one cache a beam."""
        raise UserError("beam search is not supported on a capped cache: use greedy decoding or sampling")


@dataclass(frozen=True)
class LayerPlan:
    """transformers' own layers for a model, the shapes of those to cap (by index), and the others' state in bytes."""

    layers: list[Any]
    shapes: dict[int, Shape]
    other_state_bytes: int


def plan_layers(model: PreTrainedModel) -> LayerPlan:
    """Sort a model's layers into capped and other. Raises `UserError` for a kind that cannot be bounded exactly."""
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=config).layers
    for index, layer in enumerate(layers):
        if type(layer) is not DynamicLayer and type(layer).__name__ not in _BOUNDED_KINDS:
            raise UserError(
                f"layer {index} is of the kind {type(layer).__name__}, whose state this cache cannot cap; "
                "supported are full, sliding, linear and convolution layers"
            )
    full = [index for index, layer in enumerate(layers) if type(layer) is DynamicLayer]
    if not full:
        raise UserError(
            "this model has no full-attention layer: its memory is bounded by nature, nothing is to be capped"
        )
    if len(full) == len(layers):
        return LayerPlan(layers, {index: _shape_from_config(model, config, index) for index in full}, 0)
    probe = _probe(model, config)
    shapes = {index: _shape_of(probe[index].keys, probe[index].values) for index in full}
    others = sum(_bounded_bytes(layer) for index, layer in enumerate(probe) if index not in shapes)
    return LayerPlan(layers, shapes, others)


def check_turnable(plan: LayerPlan) -> None:
    """Raise `UserError` where compact positions cannot hold: a window layer's keys would keep positions of before."""
    for index, layer in enumerate(plan.layers):
        if getattr(layer, "sliding_window", None) is not None:
            raise UserError(
                f"layer {index} attends within a window and keeps its keys rotated, so positions cannot be "
                "re-assigned: use positions='original' (--positions original)"
            )


def _shape_from_config(model: PreTrainedModel, config: Any, index: int) -> Shape:
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weight = next(model.get_decoder().layers[index].parameters())
    return Shape(heads, dim, dim, model.dtype, weight.device)


def _shape_of(keys: Tensor, values: Tensor) -> Shape:
    return Shape(keys.shape[1], keys.shape[3], values.shape[3], keys.dtype, keys.device)


@torch.no_grad()
def _probe(model: PreTrainedModel, config: Any) -> list[Any]:
    """Run one token, to see the state that layers of other kinds keep: their formulas differ from model to model."""
    cache = DynamicCache(config=config)
    embeddings: Any = model.get_input_embeddings()
    token = torch.zeros(1, 1, dtype=torch.long, device=embeddings.weight.device)
    decoder = model.get_decoder()
    decoder(input_ids=token, use_cache=True, **{cache_name(decoder): cache})
    return list(cache.layers)


def _bounded_bytes(layer: Any) -> int:
    """Bytes a layer of another kind keeps at most: a probed sliding layer has seen one of its window's tokens."""
    window = getattr(layer, "sliding_window", None)
    if window is None:
        return state_bytes(copy_state(layer))
    return int((layer.keys.nbytes + layer.values.nbytes) * (window - 1) + layer._sliding_window_tensor.nbytes)


def copy_state(layer: Any) -> dict[str, Any]:
    """Copy whatever a layer of another kind keeps: tensors cloned, containers copied, the rest by value."""
    return {name: _copied(value) for name, value in vars(layer).items()}


def restore_state(layer: Any, state: dict[str, Any]) -> None:
    """Put a copied state back. The copy stays good for another restore."""
    for name, value in state.items():
        setattr(layer, name, _copied(value))


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value


def state_bytes(state: Any) -> int:
    """Bytes of all tensors in a copied state."""
    if isinstance(state, Tensor):
        return state.nbytes
    if isinstance(state, dict):
        return sum(state_bytes(item) for item in state.values())
    return 0


def capped(layers: Sequence[Any]) -> list[CappedLayer]:
    """The capped ones among a cache's layers."""
    return [layer for layer in layers if isinstance(layer, CappedLayer)]
