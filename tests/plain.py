"""Plain Hugging Face runs to compare with: the whole video in one forward, no cache of ours, positions from loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from infinipot_v.generate import Decoding
from infinipot_v.models.base import Model
from infinipot_v.models.preprocess import normalise, patchify_qwen
from infinipot_v.session import Session
from infinipot_v.types import Frame, Grid
from tests import processors


def noise_frames(count: int, fps: float = 1.0, height: int = 90, width: int = 140, seed: int = 0) -> list[Frame]:
    """Random pictures; a few repeat, so that there is redundancy to find."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 255, (max(2, count // 2), height, width, 3), dtype=np.uint8)
    return [Frame(pictures[int(rng.integers(len(pictures)))], index / fps) for index in range(count)]


@contextmanager
def recorded_states(model: Model) -> Iterator[list[torch.Tensor]]:
    """Collect the language model's last hidden states `[tokens, hidden]`, forward by forward."""
    states: list[torch.Tensor] = []
    hook = model.hf.get_decoder().register_forward_hook(lambda _m, _a, out: states.append(out.last_hidden_state[0]))
    try:
        yield states
    finally:
        hook.remove()


@torch.no_grad()
def streamed_logits(session: Session, frames: Sequence[Frame], question: str) -> torch.Tensor:
    """Logits of every token that a session runs: prefix, steps (and the provisional one), question."""
    with recorded_states(session.model) as states:
        session.watch(iter(frames))
        session.ask(question, remember=False, decoding=Decoding(max_new_tokens=1))  # the answer's token is never run
    return session.model.hf.lm_head(torch.cat(states))


@torch.no_grad()
def plain_logits(
    session: Session, frames: Sequence[Frame], question: str, own_positions: bool, fps: float = 1.0
) -> torch.Tensor:
    """The same tokens in one plain forward; with `own_positions` Hugging Face computes the positions itself."""
    inputs = plain_inputs(session, frames, question, fps)
    if not own_positions:
        inputs["position_ids"] = looped_positions(session, len(frames), inputs["input_ids"].shape[1], fps)
    if hasattr(session.model.hf.model, "rope_deltas"):
        session.model.hf.model.rope_deltas = None
    return session.model.hf(**inputs).logits[0]


def plain_inputs(session: Session, frames: Sequence[Frame], question: str, fps: float) -> dict[str, Any]:
    """What transformers' processor would hand to the model for the whole video and one question."""
    if session.model.family in processors.EXPANSIONS:
        return processors.inputs(session, frames, question)
    model, canvas = session.model, processors.canvas_of(session)
    assert canvas is not None
    padded = [*frames, *[frames[-1]] * (len(frames) % 2)]
    steps, pad = len(padded) // 2, model.hf.config.video_token_id
    ids = model.prompt.prefix(session.dialogue.system)
    ids = [*ids, *[pad] * (steps * canvas.grid.tokens), *model.prompt.question(session.dialogue.system, [], question)]
    tokens = torch.tensor([ids])
    inputs = {
        "input_ids": tokens,
        "mm_token_type_ids": (tokens == pad).int() * 2,
        "pixel_values_videos": patchify_qwen(normalise(model.pictures(padded, canvas), model.recipe), model.recipe),
        "video_grid_thw": torch.tensor([[steps, canvas.grid.height * 2, canvas.grid.width * 2]]),
    }
    if model.family == "qwen2_5_vl":
        inputs["second_per_grid_ts"] = torch.tensor([2 / fps])
    return inputs


def looped_positions(session: Session, frames: int, tokens: int, fps: float) -> torch.Tensor:
    """Positions of all tokens, one by one: `[3, 1, tokens]` from the paper's words for M-RoPE, else `[1, tokens]`."""
    canvas = processors.canvas_of(session)
    assert canvas is not None
    if session.model.family in processors.EXPANSIONS:
        return torch.tensor([list(range(tokens))])
    prefix = len(session.model.prompt.prefix(session.dialogue.system))
    rate = getattr(session.model.hf.config.vision_config, "tokens_per_second", None)
    positions = [(i, i, i) for i in range(prefix)]
    for step in range((frames + 1) // 2):
        time = step if rate is None else int(step * 2 / fps * rate + 1e-6)
        for row in range(canvas.grid.height):
            for column in range(canvas.grid.width):
                positions.append((prefix + time, prefix + row, prefix + column))
    following = max(max(position) for position in positions) + 1
    while len(positions) < tokens:
        positions.append((following,) * 3)
        following += 1
    return torch.tensor(positions).T[:, None]


def cells_of(grid: Grid) -> int:
    """Tokens a step."""
    return grid.height * grid.width
