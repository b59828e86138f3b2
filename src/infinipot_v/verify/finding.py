"""What a check says: a figure, what it may be, and words for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infinipot_v.verify.subject import Subject


@dataclass(frozen=True)
class Finding:
    """`passed` is None for a check that could not be made here; `detail` then says why, else what was seen.

    `figure` must not exceed `tolerance`; both are None where a check is a plain yes or no.
    """

    name: str
    passed: bool | None
    figure: float | None
    tolerance: float | None
    detail: str
    seconds: float = 0.0


Check = Callable[["Subject"], Finding]


class CannotCheck(Exception):
    """Raised inside a check that lacks what it compares with; the finding is then a skip with these words."""


def within(name: str, figure: float, tolerance: float, wrong: str, right: str) -> Finding:
    """A finding that passes while `figure <= tolerance`; NaN never passes."""
    passed = figure <= tolerance
    return Finding(name, passed, figure, tolerance, right if passed else wrong)


def yes_or_no(name: str, passed: bool, wrong: str, right: str) -> Finding:
    """A finding without a figure."""
    return Finding(name, passed, None, None, right if passed else wrong)
