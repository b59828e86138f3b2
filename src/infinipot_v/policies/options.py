"""Hyper-parameters as text, and the checks that policies share. Every message is one line and says the remedy."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any

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


def check_flag(name: str, value: object) -> None:
    """Raise `UserError` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise UserError(f"{name}={value!r} is no switch: write True or False")


def check_window(name: str, value: object, odd: bool = False) -> None:
    """Raise `UserError` unless `value` is a whole number of 1 or more; an odd one where `odd`."""
    check_count(name, value)
    if value == 0 or (odd and value % 2 == 0):  # type: ignore[operator]
        raise UserError(f"{name}={value!r} is out of range: it is {'an odd' if odd else 'a whole'} number, 1 or more")


def check_text(name: str, value: object) -> None:
    """Raise `UserError` unless `value` is text; it may be empty."""
    if not isinstance(value, str):
        raise UserError(f"{name}={value!r} is no text: write it in quotes")


def option_pair(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUE`; the value is a Python literal (0.5, 7, (0.1,0.2,0.3)) or the text itself."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"cannot read the policy option {text!r}: write NAME=VALUE, as in alpha=0.5")
    return name.strip().replace("-", "_"), _literal(value.strip())


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text
