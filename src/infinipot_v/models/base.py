"""What a model family must answer for. All Hugging Face irregularity ends in the family's file beside this one.

An adapter turns frames into blocks, text into token ids, and runs the language model over a cache that somebody else
owns. It knows no policy, no cache and no source, and keeps no state of a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from infinipot_v.models.preprocess import Colours
from infinipot_v.models.prompt import Prompt, video_placeholder, video_template
from infinipot_v.naming import cache_name
from infinipot_v.positions import Clock, LineClock, Rotary, line_rotary
from infinipot_v.types import Block, Frame, Grid, UserError

MOST_TEXT = 4096
"""Tokens that are said with one step at most."""


def check_text_tokens(count: object) -> None:
    """Raise `UserError` for what is no number of tokens to say with a step."""
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_TEXT:
        raise UserError(f"text_tokens={count!r} is out of range: it is a number of tokens, from 0 to {MOST_TEXT}")


@dataclass(frozen=True)
class Canvas:
    """The one resolution of a session: frames of the `source` size (height, width) are shown at `pixels` = `grid`.

    `text` tokens may be said with a step.
    """

    source: tuple[int, int]
    pixels: tuple[int, int]
    grid: Grid
    text: int = 0


@dataclass(frozen=True)
class Model(ABC):
    """A loaded checkpoint: `hf` is the stock Hugging Face model, `prompt` its chat template, `recipe` its pixels.

    Public attributes beside them: `name` as the user gave it, and what `frames_per_step` frames become one step.
    """

    hf: Any
    prompt: Prompt
    recipe: Colours
    name: str

    family: ClassVar[str]
    default_positions: ClassVar[str] = "compact"
    """`positions` of a session that does not name them; see `Session`."""

    @property
    def frames_per_step(self) -> int:
        """Frames that merge into one step of tokens."""
        return 1

    @property
    def position_limit(self) -> int | None:
        """Positions the language model was trained for, as its configuration says."""
        limit = getattr(self.text_config, "max_position_embeddings", None)
        return int(limit) if limit else None

    @property
    def text_config(self) -> Any:
        """Configuration of the language model."""
        return self.hf.config.get_text_config(decoder=True)

    @property
    def device(self) -> torch.device:
        """Where token embeddings live, and so where inputs go."""
        device: torch.device = self.hf.get_input_embeddings().weight.device
        return device

    @classmethod
    def prompt_of(cls, tokenizer: Any, templates: Sequence[str], config: Any) -> Prompt:
        """The prompt, from the checkpoint's chat templates (the tokenizer's own first). Raises `UserError`."""
        return Prompt(tokenizer, video_template(templates), video_placeholder(tokenizer, config))

    @classmethod
    @abstractmethod
    def recipe_of(cls, image: Mapping[str, Any] | None, video: Mapping[str, Any] | None) -> Any:
        """The pixels' recipe, from preprocessor_config.json and video_preprocessor_config.json; one may be missing."""

    @abstractmethod
    def canvas(
        self, height: int, width: int, tokens_per_step: int | None = None, max_pixels: int | None = None
    ) -> Canvas:
        """Choose the resolution for frames of `height` x `width`; None leaves a bound to the family.

        Raises `UserError` for impossible shapes, and for bounds that the checkpoint cannot keep.
        """

    @abstractmethod
    def pictures(self, frames: Sequence[Frame], canvas: Canvas) -> Tensor:
        """Show frames on the canvas: uint8 `[frames, 3, height, width]`; other sizes are letterboxed."""

    def step_tokens(self, canvas: Canvas) -> int:
        """Tokens that a step takes at most, text in the stream included."""
        return canvas.grid.tokens + canvas.text

    def most_step_tokens(self, tokens_per_step: int | None = None) -> int:
        """Tokens that a step takes at most, whatever the frames' size, before anything is said.

        `tokens_per_step` as `canvas` takes it. Here for families of one resolution.
        """
        return self.step_tokens(self.canvas(1, 1))

    def step_bytes(self, tokens_per_step: int | None = None, text_tokens: int = 0) -> int:
        """Bytes of a step's embeddings at most; see `most_step_tokens`."""
        tokens = self.most_step_tokens(tokens_per_step) + text_tokens
        return tokens * int(self.text_config.hidden_size) * int(self.hf.dtype.itemsize)

    @property
    def around_text(self) -> tuple[str, str]:
        """What stands before and behind what is said in the stream."""
        return "\n", "\n"

    def said(self, frames: Sequence[Frame], canvas: Canvas) -> tuple[list[int], int]:
        """Token ids of what is said with the frames of one step, a line a frame, and how many had no place."""
        text = "\n".join(frame.text.strip() for frame in frames if frame.text.strip())
        return self.prompt.said(text, self.around_text, canvas.text) if text else ([], 0)

    def unsaid(self, frames: Sequence[Frame], canvas: Canvas) -> int:
        """Text tokens of whole steps that had no place."""
        return sum(self.said(step, canvas)[1] for step in self.steps_of(frames))

    def steps_of(self, frames: Sequence[Frame]) -> list[Sequence[Frame]]:
        """Frames as steps; the last one is not whole where they make no whole number."""
        each = self.frames_per_step
        return [frames[first : first + each] for first in range(0, len(frames), each)]

    def standing(self, waiting: Sequence[Frame]) -> list[Frame]:
        """The whole step that waiting frames would make if the last one stood still, and said no more."""
        still = replace(waiting[-1], text="")
        return [*waiting, *[still] * (self.frames_per_step - len(waiting))]

    def check(self) -> None:
        """Raise `UserError` where the checkpoint's parts do not fit each other; called once, after loading."""
        self.prompt.prefix()
        self.prompt.question(None, [], "?")

    @abstractmethod
    def grid_of(self, pixels: tuple[int, int]) -> Grid:
        """Tokens of a frame of `pixels` (height, width)."""

    def clock(self, prefix: int, grid: Grid, text: str = "max") -> Clock:
        """A fresh clock behind `prefix` tokens; 1-D RoPE unless a family says otherwise.

        `text` is `max` or `hf`, which is the same on one axis (see `MRopeClock`).
        """
        return LineClock(prefix, self.position_limit)

    def rotary(self) -> Rotary:
        """The part of the rotary embedding that compact positions re-assign: all of it where there is one axis."""
        return line_rotary(self.hf.get_decoder())

    @abstractmethod
    def encode(self, frames: Sequence[Frame], canvas: Canvas, first_step: int) -> Block:
        """Encode whole steps (a multiple of `frames_per_step` frames), numbered from `first_step`."""

    @torch.no_grad()
    def prefill(self, block: Block, positions: Tensor, cache: Any) -> None:
        """Run the language model over a block; its keys and values go where the cache has opened."""
        self._run(block.embeddings[None], positions, cache, **block.extras)

    @torch.no_grad()
    def prefill_text(self, ids: Sequence[int], positions: Tensor, cache: Any) -> None:
        """Run the language model over token ids whose logits nobody reads."""
        self._run(self.embed(ids), positions, cache)

    def _run(self, embeddings: Tensor, positions: Tensor, cache: Any, **extras: Any) -> None:
        decoder, places = self.hf.get_decoder(), positions.to(self.device)
        named = {cache_name(decoder): cache}
        decoder(inputs_embeds=embeddings, position_ids=places, use_cache=True, **named, **extras)

    @torch.no_grad()
    def next_logits(self, ids: Sequence[int], positions: Tensor, cache: Any) -> Tensor:
        """Run token ids and return the logits behind the last one, float32 `[vocabulary]`."""
        output = self.hf(
            inputs_embeds=self.embed(ids), position_ids=positions.to(self.device), use_cache=True, logits_to_keep=1,
            **{cache_name(self.hf): cache},
        )  # fmt: skip
        logits: Tensor = output.logits[0, -1].float()
        return logits

    def words(self, ids: Sequence[int]) -> Tensor | None:
        """Embeddings `[tokens, hidden]` of text in the stream; None where there is none."""
        return self.embed(ids)[0] if ids else None

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Token embeddings `[1, tokens, hidden]`."""
        embeddings: Tensor = self.hf.get_input_embeddings()(torch.tensor([list(ids)], device=self.device))
        return embeddings
