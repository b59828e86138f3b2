"""Bytes as people read them."""

from __future__ import annotations


def size(amount: float) -> str:
    """`15.2 GiB`, `371.9 MiB`, `57 KiB`."""
    for unit, least in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(amount) >= least:
            return f"{amount / least:.{0 if unit == 'KiB' else 1}f} {unit}"
    return f"{amount:.0f} bytes"


def span(minutes: float) -> str:
    """`7.8 minutes`, `18.2 hours`."""
    return f"{minutes / 60:.1f} hours" if minutes >= 120 else f"{minutes:.1f} minutes"
