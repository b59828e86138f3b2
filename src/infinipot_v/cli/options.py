"""Policy options on the command line: NAME=VALUE, read as the policy's own fields are typed."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.policies.base import Policy


def policy_from(name: str, options: Sequence[str]) -> Policy:
    """Build a policy from its name and `NAME=VALUE` strings. Raises `UserError` that names the nearest valid name."""
    from infinipot_v.policies import make_policy

    return make_policy(name, **dict(_pair(option) for option in options))


def _pair(option: str) -> tuple[str, Any]:
    name, equals, value = option.partition("=")
    if not equals or not name.strip():
        raise UserError(f"cannot read the policy option {option!r}: write NAME=VALUE, as in alpha=0.5")
    return name.strip().replace("-", "_"), _value(value.strip())


def _value(text: str) -> Any:
    """A Python literal (0.5, 7, (0.1,0.2,0.3)), or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
