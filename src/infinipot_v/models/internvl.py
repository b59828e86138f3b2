"""InternVL3 and 3.5 in transformers' layout (arXiv 2504.10479): pixel shuffle, a number before every frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from infinipot_v.models.fixed import FixedModel
from infinipot_v.models.prompt import Prompt, video_template


class InternVL(FixedModel):
    """Adapter of `InternVLForConditionalGeneration`: 32 x 32 patches become 16 x 16 tokens a frame.

    The prompt of a video is `Frame1: <img>...</img>`, a line break, `Frame2: <img>...</img>` and so on. All of it is
    text in the stream; frames are counted along the stream.
    """

    family: ClassVar[str] = "internvl"

    @classmethod
    def prompt_of(cls, tokenizer: Any, templates: Sequence[str], config: Any) -> Prompt:
        """The placeholder is the tokenizer's `<video>`; config.json numbers none."""
        placeholder = getattr(tokenizer, "video_token", None) or "<video>"
        return Prompt(tokenizer, video_template(templates), placeholder, edge=_ends(tokenizer)[1])

    def text_around(self, step: int, seconds: float) -> tuple[str, str]:
        """`Frame1: <img>` and `</img>`; a line break comes before all frames but the first."""
        begin, end = _ends(self.prompt.tokenizer)
        return f"{'' if step == 0 else chr(10)}Frame{step + 1}: {begin}", end

    @property
    def around_text(self) -> tuple[str, str]:
        """The next frame begins with a line break."""
        return "\n", ""

    def pooled(self, patches: int) -> int:
        """As the pixel shuffle leaves them."""
        return int(patches * self.hf.config.downsample_ratio)

    def features(self, pixels: Tensor) -> Tensor:
        """See `FixedModel.features`; transformers takes the frames as so many pictures."""
        pooled: Tensor = self.hf.model.get_image_features(pixels, return_dict=True).pooler_output
        return pooled


def _ends(tokenizer: Any) -> tuple[str, str]:
    """The tokens around a picture."""
    return (
        getattr(tokenizer, "start_image_token", None) or "<img>",
        getattr(tokenizer, "end_image_token", None) or "</img>",
    )
