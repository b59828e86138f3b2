"""Options and the letters that stand for them."""

from __future__ import annotations

import re
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lettered(options: Sequence[str]) -> list[str]:
    """`A. x`, `B. y`, ..., unless the first option already begins with its letter."""
    if options and re.match(r"\(?A[.):]", options[0].strip()):
        return [option.strip() for option in options]
    return [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]


def letter_of(answer: int | str, options: Sequence[str]) -> str:
    """The letter of a right answer, given as its letter, its place, or its text. Raises `ValueError` for none."""
    if isinstance(answer, bool) or not isinstance(answer, int | str):
        raise ValueError(f"the answer {answer!r} is neither a letter, a place nor a text")
    if isinstance(answer, int):
        if not 0 <= answer < len(options):
            raise ValueError(f"the answer is number {answer} of {len(options)} options")
        return LETTERS[answer]
    if answer in options:
        return LETTERS[list(options).index(answer)]
    if len(answer.strip()) == 1 and answer.strip() in LETTERS[: len(options)]:
        return answer.strip()
    raise ValueError(f"the answer {answer!r} is none of the options")


def said_letter(reply: str, count: int) -> str | None:
    """The letter that a reply of a few words gives: alone, with a sign behind it, or as the last word said of it.

    Ours, for counting replies out of which nothing can be read; the scores are the benchmarks' own.
    """
    letters = LETTERS[:count]
    found = re.search(rf"(?:^|[\s(\[\"'*:])([{letters}])(?=$|[\s.,:;)\]\"'*])", reply.strip())
    return found[1] if found else None
