"""Miniature sets, written once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infinipot_v.evaluate.field import benchmark_class
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.field.recipes import recipe_of
from infinipot_v.models.base import Model
from infinipot_v.models.load import load_model
from tests.evaluate.field.minis import MINIS


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            MINIS[name](made[name])
        return made[name]

    return folder


@pytest.fixture
def opened(mini: Callable[[str], Path]) -> Callable[..., FieldBenchmark]:
    """The benchmark on its miniature, or on another folder."""

    def benchmark(name: str, folder: Path | None = None, recipe: str | None = None, **options: Any) -> FieldBenchmark:
        return benchmark_class(name)(folder or mini(name), recipe_of(recipe, name), **options)

    return benchmark


@pytest.fixture(scope="session")
def pocket() -> Model:
    return load_model("pocket", device="cpu")
