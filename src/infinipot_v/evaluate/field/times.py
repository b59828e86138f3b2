"""Times as the benchmarks write them."""

from __future__ import annotations


def seconds_of(text: str) -> float:
    """`HH:MM:SS`, `H:MM:SS`, `MM:SS` or seconds, with `.` or `,` before a fraction. Raises `ValueError`."""
    seconds = 0.0
    for part in text.strip().replace(",", ".").split(":"):
        seconds = 60 * seconds + float(part)
    if not 0 <= seconds < 10**7:
        raise ValueError(f"the time {text!r}")
    return seconds
