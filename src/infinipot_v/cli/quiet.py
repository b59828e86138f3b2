"""Good neighbours: transformers' bars and notices are silenced, and small work does not take all cores."""

from __future__ import annotations


def quiet_libraries() -> None:
    """Silence transformers below errors, in this process."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def one_thread() -> None:
    """The pocket model's matrices are so small that a second thread costs more than it brings (measured: 6x)."""
    import torch

    torch.set_num_threads(1)
