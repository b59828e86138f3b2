"""Memories as files: one of known size for a stream of any length, whole or not there, and believed only when checked.

`Session.save` and `Session.load` are the way in; `describe` looks into a file, `Autosave` saves while watching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infinipot_v.saving.autosave import Autosave
    from infinipot_v.saving.contents import Contents, describe
    from infinipot_v.saving.errors import SaveError
    from infinipot_v.saving.memory import SavedMemory, read_memory, write_memory
    from infinipot_v.saving.replacing import writable

_HOMES = {
    "Autosave": "autosave",
    "Contents": "contents",
    "SaveError": "errors",
    "SavedMemory": "memory",
    "describe": "contents",
    "read_memory": "memory",
    "writable": "replacing",
    "write_memory": "memory",
}

__all__ = ["Autosave", "Contents", "SaveError", "SavedMemory", "describe", "read_memory", "writable", "write_memory"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
