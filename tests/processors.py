"""What transformers' processors make of a video and a question, for families whose frames are pictures of one size.

The text is written out as a whole and tokenised once, so nothing of how we cut prompts is in it. The processors
themselves need torchvision; tests/golden/make_prompts.py compares these texts with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from infinipot_v.models.base import Canvas, Model
from infinipot_v.models.preprocess import normalise
from infinipot_v.session import Session
from infinipot_v.types import Frame


def canvas_of(session: Any) -> Canvas | None:
    """The resolution that the first frame has chosen, of a session or of retrieval."""
    canvas: Canvas | None = session._canvas if hasattr(session, "_canvas") else session._at.canvas
    return canvas


def llava_onevision(frames: Sequence[Frame], cells: int, opening: str) -> str:
    """One placeholder a token, and one for the newline."""
    return "<video>" * (len(frames) * cells + 1)


def llava_next_video(frames: Sequence[Frame], cells: int, opening: str) -> str:
    """One placeholder a token."""
    return "<video>" * (len(frames) * cells)


def internvl(frames: Sequence[Frame], cells: int, opening: str) -> str:
    """Frames numbered from 1, a line each."""
    return "\n".join(f"Frame{index + 1}: <img>{'<IMG_CONTEXT>' * cells}</img>" for index in range(len(frames)))


def smolvlm(frames: Sequence[Frame], cells: int, opening: str) -> str:
    """`opening`, and a line for every frame that names its time."""
    picture = "<fake_token_around_image><global-img>" + "<image>" * cells + "<fake_token_around_image>"
    times = [(int(frame.seconds // 60), int(frame.seconds % 60)) for frame in frames]
    return opening + "".join(f"\nFrame from {m:02d}:{s:02d}:{picture}" for m, s in times) + "\n\n"


EXPANSIONS = {
    "llava_onevision": llava_onevision,
    "llava_next_video": llava_next_video,
    "internvl": internvl,
    "smolvlm": smolvlm,
}
"""What stands in the prompt where the template has `<video>`."""


def text(model: Model, frames: Sequence[Frame], cells: int, question: str, system: str | None = None) -> str:
    """The whole prompt as text."""
    messages: list[dict[str, Any]] = [] if system is None else [_says("system", system)]
    messages.append({"role": "user", "content": [{"type": "video"}, *_says("user", question)["content"]]})
    rendered = model.prompt.tokenizer.apply_chat_template(
        messages, chat_template=model.prompt.template, tokenize=False, add_generation_prompt=True
    )
    assert rendered.count("<video>") == 1
    return rendered.replace("<video>", EXPANSIONS[model.family](frames, cells, model.prompt.opening))


def _says(role: str, words: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": words}]}


def ids(model: Model, whole: str) -> list[int]:
    """Token ids of a prompt; the tokenizer's own first token comes before it unless the template has written it."""
    tokenizer = model.prompt.tokenizer
    written = tokenizer.bos_token is not None and whole.startswith(tokenizer.bos_token)
    return tokenizer(whole, add_special_tokens=not written)["input_ids"]


def inputs(session: Session, frames: Sequence[Frame], question: str) -> dict[str, torch.Tensor]:
    """Arguments of the plain model for a whole video and one question."""
    model, canvas = session.model, canvas_of(session)
    assert canvas is not None
    whole = text(model, frames, canvas.grid.tokens, question, session.dialogue.system)
    pixels = normalise(model.pictures(frames, canvas), model.recipe)
    named = {"internvl": {"pixel_values": pixels}, "smolvlm": {"pixel_values": pixels[None]}}
    return {
        "input_ids": torch.tensor([ids(model, whole)]),
        **named.get(model.family, {"pixel_values_videos": pixels[None]}),
    }
