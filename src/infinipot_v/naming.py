"""What the installed transformers calls a model's cache: `cache`, or `past_key_values` in its older releases."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def cache_name(model: Any) -> str:
    """The argument that takes the cache in a Hugging Face model's `forward` and `generate`; outputs name it so, too.

    `hf_model.generate(ids, **{cache_name(hf_model): cache})` is right with every transformers. The signature of the
    model's class is asked, once a class; where it names neither, the answer is that of the older releases.
    """
    return _name_in(type(model).forward)


@lru_cache
def _name_in(forward: Callable[..., Any]) -> str:
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"
