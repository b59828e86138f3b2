"""Model families: transformers' `model_type` -> adapter, imported only when a checkpoint of it is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from infinipot_v.nearest import nearest
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.models.base import Model

_FAMILIES = {
    "qwen2_vl": "Qwen2VL",
    "qwen2_5_vl": "Qwen25VL",
    "llava_onevision": "LlavaOnevision",
    "llava_next_video": "LlavaNextVideo",
    "internvl": "InternVL",
    "smolvlm": "SmolVLM",
}


def family_names() -> tuple[str, ...]:
    """The supported families, by transformers' `model_type`."""
    return tuple(_FAMILIES)


def adapter_for(model_type: str) -> type[Model]:
    """Return a family's adapter class. Raises `UserError` that names the nearest supported family."""
    if model_type not in _FAMILIES:
        near = nearest(model_type, _FAMILIES, cutoff=0)
        raise UserError(
            f"the architecture {model_type!r} is not supported; the nearest that is: {near} "
            f"(all: {', '.join(_FAMILIES)})"
        )
    adapter: type[Model] = getattr(import_module(f"infinipot_v.models.{model_type}"), _FAMILIES[model_type])
    return adapter
