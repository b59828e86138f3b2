"""What the shell completes: names that cost nothing to list. No torch here, for a shell waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Names = Iterable[str] | Callable[[], Iterable[str]]


def among(names: Names) -> Callable[[str], list[str]]:
    """Completes one of the names (a function is asked when the shell asks)."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in _listed(names) if name.startswith(incomplete)]

    return complete


def several_of(names: Names) -> Callable[[str], list[str]]:
    """Completes the last of several names with commas between, none of them twice."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        return [f"{before}{comma}{name}" for name in _listed(names) if name.startswith(last) and name not in taken]

    return complete


def _listed(names: Names) -> Iterable[str]:
    return names() if callable(names) else names
