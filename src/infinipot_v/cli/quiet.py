"""Good neighbours: libraries' bars and notices are silenced, and small work does not take all cores."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OURS = Path(__file__).parents[1]


def quiet_libraries() -> None:
    """Silence transformers below errors, in this process; downloads keep their bars on a terminal."""
    from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging as transformers

    hub.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.set_verbosity_error()
    transformers.disable_progress_bar()
    if sys.stderr is not None and sys.stderr.isatty():
        enable_progress_bars()


@contextmanager
def own_warnings_only() -> Iterator[None]:
    """Our own warnings are one line on standard error; those of libraries tell users nothing they can act on."""

    def show(message: Warning | str, category: type[Warning], filename: str, *more: Any, **others: Any) -> None:
        if Path(filename).is_relative_to(OURS):
            print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    logged = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = show
            yield
    finally:
        logging.disable(logged)


def one_thread() -> None:
    """The pocket model's matrices are so small that a second thread costs more than it brings (measured: 6x)."""
    import torch

    torch.set_num_threads(1)
