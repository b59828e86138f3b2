"""InfiniPot-V: a memory for video that never grows, for open multimodal LLMs.

An independent implementation of arXiv 2506.15745 with a hard cap in bytes. The public names are those of `__all__`;
each is imported when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infinipot_v.budget import Budget
    from infinipot_v.cache import CappedCache
    from infinipot_v.generate import Decoding
    from infinipot_v.models.load import load_model
    from infinipot_v.naming import cache_name
    from infinipot_v.policies import make_policy, policy_names
    from infinipot_v.policies.base import KVView, Policy
    from infinipot_v.saving.autosave import Autosave
    from infinipot_v.saving.contents import Contents, describe
    from infinipot_v.saving.errors import SaveError
    from infinipot_v.session import Session
    from infinipot_v.sources import open_source
    from infinipot_v.types import Answer, Frame, Grid, MemoryReport, UserError

__version__ = "0.1.0"

_HOMES = {
    "Answer": "types",
    "Autosave": "saving.autosave",
    "Budget": "budget",
    "CappedCache": "cache",
    "Contents": "saving.contents",
    "Decoding": "generate",
    "Frame": "types",
    "Grid": "types",
    "KVView": "policies.base",
    "MemoryReport": "types",
    "Policy": "policies.base",
    "SaveError": "saving.errors",
    "Session": "session",
    "UserError": "types",
    "cache_name": "naming",
    "describe": "saving.contents",
    "load_model": "models.load",
    "make_policy": "policies",
    "open_source": "sources",
    "policy_names": "policies",
}

__all__ = [
    "Answer",
    "Autosave",
    "Budget",
    "CappedCache",
    "Contents",
    "Decoding",
    "Frame",
    "Grid",
    "KVView",
    "MemoryReport",
    "Policy",
    "SaveError",
    "Session",
    "UserError",
    "__version__",
    "cache_name",
    "describe",
    "load_model",
    "make_policy",
    "open_source",
    "policy_names",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
