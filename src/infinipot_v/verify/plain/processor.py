"""The same inputs by the checkpoint's own processor, where transformers can load it (it needs torchvision)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from infinipot_v.verify.finding import CannotCheck
from infinipot_v.verify.plain import own_loader, processor_options
from infinipot_v.verify.plain.shown import Shown


def own_inputs(family: str, shown: Shown) -> dict[str, Any]:
    """Keyword arguments of the stock model's forward, by `AutoProcessor`. Raises `CannotCheck` where it cannot load."""
    if find_spec("torchvision") is None:
        raise CannotCheck("needs torchvision, which the checkpoint's own processor is built on")
    processor = _loaded(family, shown)
    content = [{"type": "video"}, {"type": "text", "text": shown.question}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    made = processor(
        text=[text], videos=[torch.from_numpy(shown.resized(shown.size)).permute(0, 3, 1, 2)],
        video_metadata=[_metadata(shown)], do_sample_frames=False, return_tensors="pt", **processor_options(family),
    )  # fmt: skip
    return {name: value for name, value in made.items() if name != "attention_mask"}


def _loaded(family: str, shown: Shown) -> Any:
    """The processor, by the family's own loader where `AutoProcessor` does not manage."""
    from transformers import AutoProcessor

    load = own_loader(family)
    try:
        return load(shown) if load else AutoProcessor.from_pretrained(shown.files.place, **shown.files.where)
    except Exception as error:  # a library that is missing, or files that the installed transformers cannot read
        said = (str(error).strip().splitlines() or [""])[0]
        raise CannotCheck(f"the checkpoint's own processor does not load: {type(error).__name__}: {said}") from error


def _metadata(shown: Shown) -> Any:
    from transformers.video_utils import VideoMetadata

    count = len(shown.pictures)
    return VideoMetadata(
        total_num_frames=count, fps=shown.fps, duration=count / shown.fps, frames_indices=list(range(count))
    )
