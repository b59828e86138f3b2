"""How large the experiments are: which streams, how many, how long. `FULL` is the result, `QUICK` proves the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from infinipot_v.evaluate.experiments.shots import cutting_seeds
from infinipot_v.evaluate.experiments.streams import Spec
from infinipot_v.pocket.seeds import TEST

SHARE = Fraction(1, 16)
"""|M| as a share of the full cache, in every experiment that does not vary it: 128 tokens of 2,048, 8 steps."""


@dataclass(frozen=True)
class Scale:
    """Streams of every experiment. `test` and `dev` are seeds A to B - 1, `steps` their length.

    `cameras` is the number of streams before each camera; `compactions` are pairs (compactions, streams). `budgets`
    are those of methods x budgets, `trials` the settings that every method may try on the development streams.
    """

    name: str
    test: tuple[int, int]
    dev: tuple[int, int]
    steps: int
    cameras: int
    compactions: tuple[tuple[int, int], ...]
    budgets: tuple[Fraction, ...]
    trials: int

    @property
    def test_streams(self) -> tuple[Spec, ...]:
        """What is judged on; they end with the five questions."""
        return tuple(Spec(seed, self.steps, turns=True) for seed in range(*self.test))

    @property
    def dev_streams(self) -> tuple[Spec, ...]:
        """What settings are chosen on."""
        return tuple(Spec(seed, self.steps) for seed in range(*self.dev))

    def camera_streams(self, camera: str) -> tuple[Spec, ...]:
        """The same test seeds before each camera."""
        return tuple(Spec(seed, self.steps, camera) for seed in cutting_seeds(TEST, self.steps, self.cameras))


FULL = Scale(
    name="full",
    test=(TEST.start, TEST.start + 10),
    dev=(2000, 2005),
    steps=128,
    cameras=8,
    compactions=((5, 24), (50, 10), (500, 4)),
    budgets=(Fraction(1, 8), SHARE, Fraction(1, 32)),
    trials=4,
)
QUICK = replace(
    FULL,
    name="quick",
    test=(TEST.start, TEST.start + 2),
    dev=(2000, 2001),
    steps=48,
    cameras=1,
    compactions=((5, 2), (50, 1)),
    budgets=(SHARE, Fraction(1, 32)),
    trials=2,
)
