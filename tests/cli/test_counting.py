"""Lines about how far long work has come, where nobody looks on."""

from __future__ import annotations

from infinipot_v.cli.counting import EVERY, Lines, counting


def test_a_line_now_and_then_says_what_is_left(capsys):
    times = iter([0.0, EVERY / 2, EVERY, EVERY + 1, 3 * EVERY])
    lines = Lines("work", lambda: next(times))
    for done in (1, 2, 3, 8):
        lines(done, 10)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["work: 20 %, 1:00 gone, about 4:00 left", "work: 80 %, 3:00 gone, about 45 s left"]


def test_short_work_says_nothing(capsys):
    with counting("work") as progress:
        progress(0, 10)
        progress(10, 10)
    assert capsys.readouterr() == ("", "")
