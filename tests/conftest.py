"""Fixtures for every test: tiny checkpoints, real clips where there are any, one thread."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from infinipot_v import load_model
from infinipot_v.testing import write_checkpoint

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
"""Real clips beside the checkout; tests that use them skip where there are none."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`checkpoint(family, seed=0, **overrides)` -> a folder with a tiny checkpoint, written once. Read-only."""
    written: dict[str, Path] = {}

    def write(family: str, *, seed: int = 0, **overrides: Any) -> Path:
        key = repr((family, seed, sorted(overrides.items())))
        if key not in written:
            written[key] = write_checkpoint(family, tmp_path_factory.mktemp(family), seed=seed, **overrides)
        return written[key]

    return write


@pytest.fixture(scope="session")
def loaded(checkpoint: Callable[..., Path]) -> Callable[[str], Any]:
    """`loaded(family)` -> the tiny model on the CPU in float32, loaded once. Tests leave it as it is."""
    models: dict[str, Any] = {}

    def load(family: str) -> Any:
        if family not in models:
            models[family] = load_model(checkpoint(family), device="cpu")
        return models[family]

    return load


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real clips."""
    if not MEDIA.is_dir():
        pytest.skip(f"no clips at {MEDIA.name}")
    return MEDIA


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C arrives, here and in processes that tests start, also where a shell runs the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def torch_threads() -> None:
    """Tiny models lose time to threads, and several test runs share a machine."""
    torch.set_num_threads(1)


@pytest.fixture
def one_ctrl_c() -> Iterator[None]:
    """However often it is pressed, it interrupts once."""
    came: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        came.append(number)
        if len(came) == 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    yield
    signal.signal(signal.SIGINT, before)
