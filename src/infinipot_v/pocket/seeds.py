"""Which seeds train, which tune and which judge. The three never meet."""

from __future__ import annotations

DEV = range(0, 1_000_000)
TEST = range(1_000_000, 2_000_000)
TRAIN = range(10_000_000, 2**62)


def split_of(seed: int) -> str:
    """Name the split a seed belongs to: ``train``, ``dev`` or ``test``.

    Raises ValueError for a seed that no split owns.
    """
    for name, seeds in (("dev", DEV), ("test", TEST), ("train", TRAIN)):
        if seed in seeds:
            return name
    raise ValueError(f"seed {seed} belongs to no split; take one of dev {DEV}, test {TEST} or train {TRAIN}")
