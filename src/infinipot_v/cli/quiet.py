"""Standard error belongs to our own progress: transformers' bars and notices are silenced."""

from __future__ import annotations


def quiet_libraries() -> None:
    """Silence transformers below errors, in this process."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
