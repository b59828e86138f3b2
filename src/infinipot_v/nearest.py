"""The nearest valid name: what an error says beside "unknown"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is most like `word`, letter case aside; None if none is as alike as `cutoff` (0: any is)."""
    by_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`", did you mean 'x'?"` for the nearest known word, or nothing."""
    near = nearest(word, known)
    return f", did you mean {near!r}?" if near else ""
