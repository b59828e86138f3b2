"""The line that says what was lost."""

from __future__ import annotations

import pytest

from infinipot_v.sources.damage import Damage


@pytest.mark.parametrize(
    ("damage", "total", "words"),
    [
        (Damage("x.mp4"), 0, ""),
        (Damage("x.mp4", lost=12), 12, "12 frames of x.mp4 could not be decoded"),
        (Damage("x.mp4", harmed=1), 1, "1 frame of x.mp4 decoded with errors"),
        (Damage("x.mp4", lost=1, misplaced=2), 3, "1 frame of x.mp4 could not be decoded, 2 had a wrong time"),
        (Damage("x.mp4", ended=(36.0, 60.04)), 1, "x.mp4 ends at 36.0 s, not at 60.0 s"),
        (
            Damage("x.mp4", missing=3, harmed=1, ended=(1.0, 2.0)),
            5,
            "3 frames of x.mp4 went missing, 1 decoded with errors, it ends at 1.0 s, not at 2.0 s",
        ),
    ],
)
def test_counts_are_said_in_one_line(damage: Damage, total: int, words: str) -> None:
    assert (damage.total, str(damage)) == (total, words)
