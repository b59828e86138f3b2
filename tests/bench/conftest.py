"""Small subjects on a CPU, and notebooks that can be asked for a row."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.rows import Result, Row
from infinipot_v.bench.shapes import build, shapes_of
from infinipot_v.bench.subject import Sizes, Subject

SMALL = Sizes(
    budgets=(96, 48), seen=(60, 120, 240), answer_seen=160, answer_tokens=4, steps=16, flat_steps=60, exact_steps=5,
    repeats=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def subject() -> Callable[..., Subject]:
    """`subject(family)`: a tiny model, and little to do with it."""

    def made(family: str = "qwen2_vl", sizes: Sizes = SMALL) -> Subject:
        (shape,) = shapes_of((f"tiny-{family}",))
        return Subject(build(shape, "cpu"), shape.frame, sizes)

    return made


@pytest.fixture
def pages() -> tuple[Notebook, Callable[[str], Row], Result]:
    """An empty notebook of the part `s/m`, a look-up of its rows, and its result."""
    result = Result({})
    return Notebook(result, "s/m"), lambda what: {row.name: row for row in result.rows}[f"s/m/{what}"], result
