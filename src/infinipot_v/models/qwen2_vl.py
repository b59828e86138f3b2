"""Qwen2-VL: two frames make a step, three-axis positions, one temporal index a step (arXiv 2409.12191)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from infinipot_v.models.base import Canvas, Model
from infinipot_v.models.preprocess import PixelRecipe, fit_grid, letterbox, normalise, patchify_qwen, resize
from infinipot_v.models.weaving import woven
from infinipot_v.positions import MRopeClock, Rotary, TextStart
from infinipot_v.types import Block, Frame, Grid, UserError

TOKENS_PER_STEP = 128
"""Qwen2-VL's own limit would give a 720p frame some 1,200 tokens: 6,144 of them would hold five steps."""


class Qwen2VL(Model):
    """Adapter of `Qwen2VLForConditionalGeneration`. Frames attend only within their step, so blocks are exact."""

    recipe: PixelRecipe
    family: ClassVar[str] = "qwen2_vl"
    default_positions: ClassVar[str] = "original"

    @classmethod
    def recipe_of(cls, image: Mapping[str, Any] | None, video: Mapping[str, Any] | None) -> PixelRecipe:
        """Both files count; the video's keys win."""
        return PixelRecipe.from_configs(image, video)

    @property
    def frames_per_step(self) -> int:
        """Two frames merge into one step (`temporal_patch_size`)."""
        return self.recipe.temporal_patch_size

    @property
    def time_rate(self) -> float | None:
        """Temporal indices a second; None where time is counted in steps."""
        return None

    def canvas(
        self, height: int, width: int, tokens_per_step: int | None = None, max_pixels: int | None = None
    ) -> Canvas:
        """Any resolution that keeps the aspect; at most 128 tokens a step unless told otherwise (see `fit_grid`)."""
        tokens = TOKENS_PER_STEP if tokens_per_step is None else tokens_per_step
        pixels = fit_grid(height, width, self.recipe, tokens, max_pixels)
        return Canvas((height, width), pixels, self.grid_of(pixels))

    def most_step_tokens(self, tokens_per_step: int | None = None) -> int:
        """See `Model.most_step_tokens`."""
        tokens = TOKENS_PER_STEP if tokens_per_step is None else tokens_per_step
        return max(1, min(tokens, self.recipe.max_pixels // self.recipe.factor**2))

    def pictures(self, frames: Sequence[Frame], canvas: Canvas) -> Tensor:
        """See `Model.pictures`."""
        shown = [
            (resize if frame.pixels.shape[:2] == canvas.source else letterbox)(
                frame.pixels[None], canvas.pixels, self.recipe.resample
            )
            for frame in frames
        ]
        return torch.cat(shown)

    def check(self) -> None:
        """The pixels' recipe must cut patches as the vision tower takes them."""
        super().check()
        vision, recipe = self.hf.config.vision_config, self.recipe
        cut = (recipe.patch_size, recipe.merge_size, recipe.temporal_patch_size)
        takes = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        if cut != takes:
            raise UserError(
                f"preprocessor_config.json cuts patches (size, merge, frames) {cut}, but the vision tower takes {takes}"
            )

    @property
    def around_text(self) -> tuple[str, str]:
        """The video ends before what is said, and another one begins behind it."""
        config, name = self.hf.config, self.prompt.tokenizer.convert_ids_to_tokens
        return name(config.vision_end_token_id), name(config.vision_start_token_id)

    def grid_of(self, pixels: tuple[int, int]) -> Grid:
        """`merge_size` x `merge_size` patches become one token."""
        side = self.recipe.patch_size * self.recipe.merge_size
        return Grid(pixels[0] // side, pixels[1] // side)

    def clock(self, prefix: int, grid: Grid, text: str = "max") -> MRopeClock:
        """Three axes; text behind the video at max + 1, or where transformers puts it (`text="hf"`)."""
        start: TextStart = "hf" if text == "hf" else "max"
        whole = start == "hf" and self._whole_seconds()
        return MRopeClock(prefix, self.position_limit, grid=grid, rate=self.time_rate, text=start, whole_seconds=whole)

    def _whole_seconds(self) -> bool:
        """Whether the installed transformers cuts the seconds of a step to whole ones; only absolute time asks."""
        return False

    def rotary(self) -> Rotary:
        """The time axis: the first `mrope_section[0]` frequencies turn with it, the others with height and width."""
        embed = self.hf.get_decoder().rotary_emb
        pairs = self.text_config.rope_parameters["mrope_section"][0]

        def angles(positions: Tensor) -> tuple[Tensor, Tensor]:
            turned = positions[:, None].double() * embed.inv_freq[:pairs].to(positions.device).double()
            return turned.cos().float() * embed.attention_scaling, turned.sin().float() * embed.attention_scaling

        return Rotary(embed.inv_freq.numel(), pairs, angles, by_step=True)

    @torch.no_grad()
    def encode(self, frames: Sequence[Frame], canvas: Canvas, first_step: int) -> Block:
        """Run the vision tower over whole steps; see `Model.encode`."""
        steps = self.steps_of(frames)
        features = self._features(self.pictures(frames, canvas), len(steps), canvas).unflatten(0, (len(steps), -1))
        said = [self.words(self.said(step, canvas)[0]) for step in steps]
        return woven(features, [None] * len(steps), said, first_step, [step[0].seconds for step in steps])

    def _features(self, pictures: Tensor, steps: int, canvas: Canvas) -> Tensor:
        patches = patchify_qwen(normalise(pictures, self.recipe), self.recipe)
        grid = [[steps, canvas.pixels[0] // self.recipe.patch_size, canvas.pixels[1] // self.recipe.patch_size]]
        output = self.hf.get_video_features(
            patches.to(self.device), torch.tensor(grid, device=self.device), return_dict=True
        )
        return torch.cat(tuple(output.pooler_output)).to(self.hf.dtype)
