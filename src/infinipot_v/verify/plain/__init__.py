"""What stock Hugging Face is handed for a video: by the checkpoint's own processor, or by slow arithmetic of our own.

The slow arithmetic needs no torchvision: numpy, PIL and the checkpoint's JSON files, read here. One module a family,
with `inputs(shown) -> {name: tensor}`, `PROCESSOR_OPTIONS`, `opening(count, fps)` where the prompt of a stream leaves
out what transformers writes before a whole video, and `load_processor(shown)` where `AutoProcessor` does not manage.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from infinipot_v.verify.finding import CannotCheck
from infinipot_v.verify.plain.shown import Shown

_MODULES = {
    "qwen2_vl": "qwen_vl",
    "qwen2_5_vl": "qwen_vl",
    "llava_onevision": "llava_onevision",
    "llava_next_video": "llava_next_video",
    "internvl": "internvl",
    "smolvlm": "smolvlm",
}


def known_families() -> tuple[str, ...]:
    """Families whose inputs are written down here."""
    return tuple(_MODULES)


def slow_inputs(family: str, shown: Shown) -> dict[str, Any]:
    """Keyword arguments of the stock model's forward for one video and question, by slow arithmetic."""
    inputs: dict[str, Any] = _module(family).inputs(shown)
    return inputs


def processor_options(family: str) -> dict[str, Any]:
    """What the family's own processor must be told so that it keeps our resolution."""
    options: dict[str, Any] = _module(family).PROCESSOR_OPTIONS
    return options


def own_loader(family: str) -> Callable[[Shown], Any] | None:
    """The family's own way to load its processor, where it needs one."""
    loader: Callable[[Shown], Any] | None = getattr(_module(family), "load_processor", None)
    return loader


def opening(family: str, count: int, fps: float) -> str | None:
    """What transformers writes before the first of `count` frames, where a stream's prompt leaves it out."""
    words = getattr(_module(family), "opening", None)
    return None if words is None else str(words(count, fps))


def _module(family: str) -> Any:
    if family not in _MODULES:
        raise CannotCheck(f"nobody wrote down yet how transformers shows a video to {family} (verify/plain)")
    return import_module(f"{__name__}.{_MODULES[family]}")
