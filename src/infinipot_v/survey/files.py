"""A checkpoint's small files as they are, for those who look at them without loading it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinipot_v.models.hub import Files
from infinipot_v.models.load import POCKET
from infinipot_v.types import UserError


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a checkpoint: `name` as the user gave it, `files` where they are.

    Reading raises `UserError` for a file that is damaged; a missing one is None. Files of a hub id are taken from the
    hub's cache, or downloaded: the small ones only, nothing here reads weights.
    """

    name: str
    files: Files

    @classmethod
    def of(cls, name: str | Path, revision: str | None = None) -> CheckpointFiles:
        """Find a folder, a hub id, or `pocket`. Raises `UserError` when it can be none of them."""
        return cls(str(name), Files.of(str(POCKET if str(name) == "pocket" else name), revision))

    @property
    def place(self) -> str:
        """What transformers' loaders take, beside `where`: the folder, or the hub id."""
        return self.files.name

    @property
    def where(self) -> dict[str, Any]:
        """Keyword arguments with which transformers' loaders find the same files."""
        return self.files.where

    @property
    def title(self) -> str:
        """The name without the folders above it: what may be shown to others."""
        return Path(self.name).resolve().name if self.files.local and self.name != "pocket" else self.name

    @property
    def config(self) -> dict[str, Any]:
        """config.json. Raises `UserError` where there is none."""
        config = self.files.json("config.json")
        if config is None:
            raise self.files.absent("config.json")
        return config

    @property
    def config_hash(self) -> str:
        """SHA-256 of config.json's bytes."""
        path = self.files.path("config.json")
        return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""

    def json(self, file: str) -> dict[str, Any]:
        """A JSON object; empty where the checkpoint has no such file."""
        return self.files.json(file) or {}

    def text(self, file: str) -> str | None:
        """A file's text, or None where the checkpoint has no such file."""
        path = self.files.path(file)
        try:
            return None if path is None else path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file} of {self.name} cannot be read ({error}): download the checkpoint again") from error
