"""The policies by name. A class is imported when its name is used; the names alone cost no torch."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, cast

from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.policies.base import Policy

__all__ = ["make_policy", "policy_class", "policy_names"]

_CLASSES = {
    "full": "full:Full",
    "sliding-window": "sliding_window:SlidingWindow",
    "uniform": "uniform:Uniform",
    "random": "random:Random",
    "key-norm": "key_norm:KeyNorm",
    "keydiff": "keydiff:KeyDiff",
    "infinipot-v": "infinipot_v:InfiniPotV",
    "infinipot-v-code": "infinipot_v_code:InfiniPotVCode",
    "tar": "tar:TaR",
    "van": "van:VaN",
    "snapkv": "snapkv:SnapKV",
    "infinipot": "infinipot:InfiniPot",
    "streammem": "streammem:StreamMem",
    "hermes": "hermes:Hermes",
}

_SETTINGS: dict[str, tuple[str, dict[str, object]]] = {
    "streaming-llm": ("sliding-window", {"sinks": 4}),
    "last-frames": ("sliding-window", {"sinks": 0}),
}
"""What the field has a name of its own for and is one setting of a policy here; no policy of its own, so no twin."""


def policy_names() -> tuple[str, ...]:
    """The names of all policies. `make_policy` also knows names that the field has for one setting of them."""
    return tuple(_CLASSES)


def policy_class(name: str) -> type[Policy]:
    """The class of a name; its dataclass fields are the options. Raises `UserError` on an unknown name."""
    if name not in _CLASSES:
        raise UserError(f"unknown policy {name!r}{did_you_mean(name, _CLASSES)}; there are: {', '.join(_CLASSES)}")
    module, _, attribute = _CLASSES[name].partition(":")
    return cast("type[Policy]", getattr(import_module(f"{__name__}.{module}"), attribute))


def make_policy(policy: str | Policy, /, **options: object) -> Policy:
    """Build a policy from its name and options; a `Policy` is returned as it is.

    `streaming-llm` is `sliding-window` with 4 sinks, `last-frames` is `sliding-window` without any.
    Raises `UserError` on an unknown name or option (naming the nearest) and on a value out of range.
    """
    if not isinstance(policy, str):
        return _as_is(policy, options)
    name, settings = _SETTINGS.get(policy, (policy, {}))
    cls = policy_class(name)
    known = [field.name for field in fields(cls)]
    for option in options:
        if option not in known:
            listed = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UserError(f"policy {policy!r} has no option {option!r}{did_you_mean(option, known)}; {listed}")
    return cls(**{**settings, **options})


def _as_is(policy: object, options: dict[str, object]) -> Policy:
    from infinipot_v.policies.base import Policy

    if not isinstance(policy, Policy):
        raise UserError(f"{policy!r} is no policy: give a name ({', '.join(_CLASSES)}) or a Policy")
    if options:
        raise UserError(f"options {', '.join(options)} come too late for a finished {policy!r}: give its name instead")
    return policy
