"""Pictures and the text of the stream around them, woven into one block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from infinipot_v.types import Block

Texts = Sequence[Tensor | None]
"""For each step the embeddings `[words, hidden]` of a text, or None."""


def woven(pictures: Tensor, before: Texts, behind: Texts, first_step: int, seconds: Sequence[float]) -> Block:
    """A block of steps from `first_step` on: text, the tokens of `pictures` `[steps, cells, hidden]`, and text.

    A picture's tokens have the cells 0 to `cells` - 1, text has the cell -1; `seconds` is a time for each step.
    """
    parts, cells = [], []
    for picture, *texts in zip(pictures, before, behind, strict=True):
        one, other = (picture[:0] if text is None else text for text in texts)
        parts.append(torch.cat([one, picture, other]))
        cells.append(
            torch.cat([torch.full((len(one),), -1), torch.arange(len(picture)), torch.full((len(other),), -1)])
        )
    lengths = torch.tensor([len(part) for part in parts])
    steps = torch.arange(first_step, first_step + len(parts)).repeat_interleave(lengths)
    return Block(torch.cat(parts), steps, torch.cat(cells), tuple(seconds))
