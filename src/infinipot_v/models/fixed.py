"""What LLaVA-OneVision, LLaVA-NeXT-Video, InternVL and SmolVLM share: one picture size, one frame a step, 1-D RoPE.

Frames never see each other in these vision towers, so encoding block by block is exact. Where a family writes text
between frames, that text is part of the step: tokens with cell -1 before and behind the picture's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from infinipot_v.models.base import Canvas, Model
from infinipot_v.models.preprocess import FixedRecipe, letterbox, normalise
from infinipot_v.models.weaving import woven
from infinipot_v.types import Block, Frame, Grid, UserError

FAR = 99_999
"""A step number, and a second, whose text is longer than that of any stream one will watch."""


class FixedModel(Model):
    """Base of the adapters whose checkpoint allows one resolution. `recipe` is a `FixedRecipe`."""

    recipe: FixedRecipe
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What transformers' own video processor of the family takes for keys that its file lacks."""

    @classmethod
    def recipe_of(cls, image: Mapping[str, Any] | None, video: Mapping[str, Any] | None) -> FixedRecipe:
        """One file counts, as in transformers; see `FixedRecipe.from_configs`."""
        return FixedRecipe.from_configs(image, video, **cls.defaults)

    def canvas(
        self, height: int, width: int, tokens_per_step: int | None = None, max_pixels: int | None = None
    ) -> Canvas:
        """The checkpoint's one resolution, whatever the frames'; raises `UserError` for bounds below it."""
        grid, pixels = self.grid_of(self.recipe.pixels), self.recipe.pixels
        if tokens_per_step is not None and tokens_per_step < grid.tokens:
            raise UserError(
                f"tokens_per_step={tokens_per_step}, but this model has one resolution, {grid.tokens} tokens a frame: "
                "leave tokens_per_step out (--tokens-per-step), or watch at a lower fps"
            )
        if max_pixels is not None and max_pixels < pixels[0] * pixels[1]:
            raise UserError(
                f"max_pixels={max_pixels}, but this model has one resolution, {pixels[0]}x{pixels[1]}: leave it out"
            )
        return Canvas((height, width), pixels, grid)

    def pictures(self, frames: Sequence[Frame], canvas: Canvas) -> Tensor:
        """Show frames as the checkpoint's processor does; other sizes are letterboxed into the first frame's first."""
        return torch.cat([self.recipe.show(self._framed(frame, canvas)) for frame in frames])

    def _framed(self, frame: Frame, canvas: Canvas) -> Any:
        if frame.pixels.shape[:2] == canvas.source:
            return frame.pixels[None]
        return letterbox(frame.pixels[None], canvas.source, self.recipe.resample).permute(0, 2, 3, 1).numpy()

    def check(self) -> None:
        """The frames must be as large as the vision tower takes them, and the prompt must be cut without a trace."""
        super().check()
        takes, makes = _pair(self.hf.config.vision_config.image_size), self.recipe.pixels
        if makes != takes:
            raise UserError(f"preprocessor_config.json makes {makes} pixels, but the vision tower takes {takes}")
        self._text_ids(0, 0.0)

    def grid_of(self, pixels: tuple[int, int]) -> Grid:
        """Tokens of a frame: as many rows and columns as the family's pooling leaves of the patches."""
        rows, columns = zip(pixels, _pair(self.hf.config.vision_config.patch_size), strict=True)
        return Grid(self.pooled(rows[0] // rows[1]), self.pooled(columns[0] // columns[1]))

    def step_tokens(self, canvas: Canvas) -> int:
        """See `Model.step_tokens`."""
        before, behind = self._text_ids(FAR, float(FAR))
        return len(before) + canvas.grid.tokens + len(behind) + canvas.text

    def text_around(self, step: int, seconds: float) -> tuple[str, str]:
        """What the prompt has before and behind the picture of a step; nothing unless a family says otherwise."""
        return "", ""

    @abstractmethod
    def pooled(self, patches: int) -> int:
        """Tokens on a side of so many patches."""

    @abstractmethod
    def features(self, pixels: Tensor) -> Tensor:
        """Embeddings `[frames, cells, hidden]` of normalised pixels `[frames, 3, height, width]`."""

    @torch.no_grad()
    def encode(self, frames: Sequence[Frame], canvas: Canvas, first_step: int) -> Block:
        """Run the vision tower over frames, and put the text of the stream around each; see `Model.encode`."""
        pixels = normalise(self.pictures(frames, canvas), self.recipe).to(self.device, self.hf.dtype)
        features = self.features(pixels).to(self.device, self.hf.dtype)
        before, behind = [], []
        for step, frame in enumerate(frames, first_step):
            opening, closing = self._text_ids(step, frame.seconds)
            before.append(self.words(opening))
            behind.append(self.words(closing + self.said([frame], canvas)[0]))
        return woven(features, before, behind, first_step, [frame.seconds for frame in frames])

    def _text_ids(self, step: int, seconds: float) -> tuple[list[int], list[int]]:
        before, behind = self.text_around(step, seconds)
        follows = self.prompt.first if step == 0 and before else self.prompt.between
        return follows(before), self.prompt.between(behind)


def _pair(size: Any) -> tuple[int, int]:
    """A size in a vision_config: one number, or height and width."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
