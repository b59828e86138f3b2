"""Checks of the hyper-parameters that the policies share. Every message is one line and says the remedy."""

from __future__ import annotations

from collections.abc import Collection

from infinipot_v.types import UserError


def check_share(name: str, value: object) -> None:
    """Raise `UserError` unless `value` is a number in [0, 1]."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 <= value <= 1.0:  # type: ignore[operator]
        raise UserError(f"{name}={value!r} is out of range: it is a share, at least 0 and at most 1")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise `UserError` unless `value` is one of `choices`."""
    if value not in choices:
        raise UserError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")


def check_count(name: str, value: object) -> None:
    """Raise `UserError` unless `value` is a whole number in [0, 2**63)."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise UserError(f"{name}={value!r} is out of range: it is a whole number, 0 or more")
