"""From our values to JSON and tensors, and back. A class says what its values are made of, so nothing is forgotten.

Reading is guided by the types that a class declares, and makes instances of the classes in `KNOWN` only. A field that
is missing takes its default, so that a class may gain one; a field that no class has is an error.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from infinipot_v.budget import Budget
from infinipot_v.cache.slots import StoreState
from infinipot_v.cache.state import CacheState, Counters
from infinipot_v.generate import Decoding
from infinipot_v.models.base import Canvas
from infinipot_v.moment import Moment, SessionState, Settings, Setup
from infinipot_v.policies import make_policy, policy_class
from infinipot_v.policies.base import Policy
from infinipot_v.positions import LineClock, MRopeClock
from infinipot_v.reduction import make_reduction, reduction_class
from infinipot_v.reduction.base import Memo, Reduction
from infinipot_v.reduction.stream import Remembered
from infinipot_v.ring import Ring
from infinipot_v.saving.errors import SaveError
from infinipot_v.saving.identity import Identity
from infinipot_v.types import Block, Frame, Grid, MemoryReport, UserError

KNOWN: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        Block, Budget, CacheState, Canvas, Counters, Decoding, Frame, Grid, Identity, LineClock, MRopeClock, Memo,
        MemoryReport, Moment, Remembered, Ring, SessionState, Settings, Setup, StoreState,
    )
}  # fmt: skip

Tensors = dict[str, Tensor]


def encode(value: Any, tensors: Tensors, where: str) -> Any:
    """A value as JSON; its tensors and arrays go into `tensors` as they are, under names that begin with `where`.

    Raises `SaveError` for a value that no file can hold.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": str(value)}
        case Tensor() | np.ndarray():
            tensors[where] = (
                value if isinstance(value, Tensor) else torch.from_numpy(np.require(value, requirements=["C", "W"]))
            )
            return {"tensor" if isinstance(value, Tensor) else "array": where}
        case torch.dtype():
            return {"dtype": str(value).removeprefix("torch.")}
        case torch.device():
            return {"device": str(value)}
        case Policy() | Reduction():
            return _encode_method(value, tensors, where)
        case Mapping():
            pairs = [[key, encode(item, tensors, f"{where}.{key}")] for key, item in value.items()]
            return {"map": pairs}
        case Sequence():
            return [encode(item, tensors, f"{where}.{index}") for index, item in enumerate(value)]
    if type(value).__name__ in KNOWN:
        return {"type": type(value).__name__, **_encode_fields(value, tensors, where)}
    raise SaveError(f"a {type(value).__name__} cannot be saved ({where})")


def _encode_fields(value: Any, tensors: Tensors, where: str) -> dict[str, Any]:
    own = [field.name for field in dataclasses.fields(value)]
    return {name: encode(getattr(value, name), tensors, f"{where}.{name}") for name in own}


def _encode_method(method: Policy | Reduction, tensors: Tensors, where: str) -> dict[str, Any]:
    """A method goes by its name. Raises `SaveError` for one that a reader could not make from it."""
    kind, find = ("policy", policy_class) if isinstance(method, Policy) else ("reduction", reduction_class)
    if type(method) is Reduction:
        return {kind: None}
    try:
        ours = find(method.name) is type(method)
    except UserError:
        ours = False
    if not ours:
        raise SaveError(f"{method!r} is none of the built-in methods, which alone can be found again from a file")
    return {kind: method.name, "options": _encode_fields(method, tensors, where)}


def decode(kind: Any, node: Any, tensor: Callable[[str], Tensor]) -> Any:
    """The value of type `kind` that `encode` made `node` of. Raises `SaveError` for anything else."""
    if kind in (Any, object):
        return _decode_any(node, tensor)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(kind, node, tensor)
    if origin is Literal:
        return node if node in get_args(kind) else _wrong(kind, node)
    if origin in (tuple, list):
        return origin(_decode_items(kind, node, tensor))
    if origin is not None and issubclass(origin, Mapping):
        key, item = get_args(kind)
        return {decode(key, name, tensor): decode(item, entry, tensor) for name, entry in _pairs(kind, node)}
    if isinstance(node, dict):
        return _decode_tagged(kind, node, tensor)
    if kind is float and type(node) is int:  # a whole number may stand for any
        return node
    return node if type(node) is kind else _wrong(kind, node)


def _decode_union(kind: Any, node: Any, tensor: Callable[[str], Tensor]) -> Any:
    options = get_args(kind)
    if type(node) in options:  # an int that may be one does not become a float
        return node
    for option in options:
        try:
            return decode(option, node, tensor)
        except _WrongTypeError:
            continue
    return _wrong(kind, node)


def _decode_items(kind: Any, node: Any, tensor: Callable[[str], Tensor]) -> list[Any]:
    if not isinstance(node, list):
        _wrong(kind, node)
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis or get_origin(kind) is list:
        kinds = (kinds[0],) * len(node)
    if len(kinds) != len(node):
        _wrong(kind, node)
    return [decode(item, entry, tensor) for item, entry in zip(kinds, node, strict=True)]


def _decode_tagged(kind: Any, node: dict[str, Any], tensor: Callable[[str], Tensor]) -> Any:
    match node:
        case {"type": str(name)} if name in KNOWN and issubclass(KNOWN[name], kind):
            return _decode_known(KNOWN[name], node, tensor)
        case {"policy": str(name), "options": dict(options)} if kind is Policy:
            return make_policy(name, **_decode_fields(policy_class(name), options, tensor))
        case {"reduction": None} if kind is Reduction:
            return Reduction()
        case {"reduction": str(name), "options": dict(options)} if kind is Reduction:
            cls = reduction_class(name)
            return make_reduction(cls(**_decode_fields(cls, options, tensor)))
        case {"tensor": str(name)} if kind is Tensor:
            return tensor(name)
        case {"array": str(name)} if kind is np.ndarray:
            return tensor(name).numpy()
        case {"float": "inf" | "-inf" | "nan" as text} if kind is float:
            return float(text)
    return _wrong(kind, node)


def _decode_any(node: Any, tensor: Callable[[str], Tensor]) -> Any:
    match node:
        case {"tensor": str()}:
            return decode(Tensor, node, tensor)
        case {"float": str()}:
            return decode(float, node, tensor)
        case {"dtype": str(name)} if isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        case {"device": str(name)}:
            return torch.device(name)
        case {"map": list()}:
            return {name: _decode_any(entry, tensor) for name, entry in _pairs(dict, node)}
        case list():
            return [_decode_any(item, tensor) for item in node]
        case None | bool() | int() | float() | str():
            return node
    return _wrong(Any, node)


def _decode_known(cls: type, node: dict[str, Any], tensor: Callable[[str], Tensor]) -> Any:
    fields = {name: entry for name, entry in node.items() if name != "type"}
    try:
        return cls(**_decode_fields(cls, fields, tensor))
    except TypeError as error:
        raise SaveError(f"a {cls.__name__} lacks something: {error}") from error


def _decode_fields(cls: type, node: dict[str, Any], tensor: Callable[[str], Tensor]) -> dict[str, Any]:
    kinds = _kinds(cls)
    strange = sorted(set(node) - set(kinds))
    if strange:
        raise SaveError(f"a {cls.__name__} has no {', '.join(strange)}")
    return {name: decode(kinds[name], entry, tensor) for name, entry in node.items()}


@cache
def _kinds(cls: type) -> dict[str, Any]:
    """The declared types of a dataclass's fields."""
    hints = get_type_hints(cls, localns={"np": np, "torch": torch})
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _pairs(kind: Any, node: Any) -> list[Any]:
    match node:
        case {"map": list(pairs)} if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            return pairs
    return _wrong(kind, node)  # type: ignore[no-any-return]


class _WrongTypeError(SaveError):
    """Something else stands where a type was declared."""


def _wrong(kind: Any, node: Any) -> Any:
    raise _WrongTypeError(f"{str(node)[:60]!r} stands where {getattr(kind, '__name__', kind)} belongs")
