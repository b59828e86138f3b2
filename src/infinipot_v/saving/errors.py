"""What goes wrong with files of memories."""

from __future__ import annotations

from infinipot_v.types import UserError


class SaveError(UserError):
    """A memory cannot be written, or a file cannot be read as one; the line says what to do about it."""
