"""Reductions by name: what is left out before the language model. A class is imported when its name is used."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, cast

from infinipot_v.nearest import did_you_mean
from infinipot_v.policies.options import option_pair
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.reduction.base import Reduction

__all__ = ["make_reduction", "reduction_class", "reduction_names"]

_CLASSES = {
    "near-duplicates": "near_duplicates:NearDuplicates",
    "dycoke": "dycoke:DyCoke",
    "longvu": "longvu:LongVU",
}


def reduction_names() -> tuple[str, ...]:
    """All names that `make_reduction` knows."""
    return tuple(_CLASSES)


def reduction_class(name: str) -> type[Reduction]:
    """The class of a name; its dataclass fields are the options. Raises `UserError` on an unknown name."""
    if name not in _CLASSES:
        raise UserError(f"unknown reduction {name!r}{did_you_mean(name, _CLASSES)}; there are: {', '.join(_CLASSES)}")
    module, _, attribute = _CLASSES[name].partition(":")
    return cast("type[Reduction]", getattr(import_module(f"{__name__}.{module}"), attribute))


def make_reduction(reduction: str | Reduction | None) -> Reduction:
    """Build a reduction from its name, options behind colons: `longvu:window=4:threshold=0.7`. None reduces nothing.

    A `Reduction` is returned as it is. Raises `UserError` on an unknown name or option (naming the nearest) and on a
    value out of range.
    """
    from infinipot_v.reduction.base import Reduction

    if reduction is None:
        return Reduction()
    if isinstance(reduction, Reduction):
        return reduction
    if not isinstance(reduction, str):
        raise UserError(f"{reduction!r} is no reduction: give a name ({', '.join(_CLASSES)}) or a Reduction")
    name, *options = reduction.split(":")
    cls, pairs = reduction_class(name), dict(option_pair(option) for option in options)
    known = [field.name for field in fields(cls)]
    for option in pairs:
        if option not in known:
            raise UserError(
                f"reduction {name!r} has no option {option!r}{did_you_mean(option, known)}; it takes {', '.join(known)}"
            )
    return cls(**pairs)
