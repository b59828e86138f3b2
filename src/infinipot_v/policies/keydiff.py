"""The tokens whose keys differ most from the mean key (KeyDiff; Park, Jones, Morse, Goel, Lee, Lott; arXiv 2504.15364).

Re-implemented, not checked against its authors. Their finding is that keys which stand out in direction tend to draw
much attention; so what lies near the mean of all directions is the first to go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from infinipot_v.policies.base import ContentKeys, KVView, Policy, all_slots
from infinipot_v.policies.chunks import streamed
from infinipot_v.policies.cosines import TINY
from infinipot_v.policies.options import check_choice, check_share
from infinipot_v.policies.scores import top_slots


@dataclass(frozen=True)
class KeyDiff(Policy):
    """Keeps the slots with the lowest cosine to the mean of the head's normalised keys.

        s(t) = -cos(K[t], mu),    mu = mean over all t' held of K[t'] / ||K[t']||

    - `recent`: share of the kept slots that goes to the newest tokens, whatever their keys are; 0 is the plain method.
      The paper has such a variant; the share is ours to choose.
    - `keys`: "stored": keys as they lie in the cache, as there; "content": with the temporal rotation undone, where the
      cache offers that (`KVView.content`).

    The mean is taken anew at every compaction, over what is held then. Text counts as any other token, as there.

    Departure: the prefix is not in the mean, for it is never dropped and no policy sees it.
    """

    name: ClassVar[str] = "keydiff"
    by_head: ClassVar[bool] = True

    recent: float = 0.0
    keys: Literal["stored", "content"] = "stored"

    def __post_init__(self) -> None:
        check_share("recent", self.recent)
        check_choice("keys", self.keys, ("stored", "content"))

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`; the newer ones among equals."""
        if keep == view.slots:
            return all_slots(view)
        scores = distinctness(view.keys, view.steps, view.content if self.keys == "content" else None)
        scores[:, view.slots - int(self.recent * keep) :] = torch.inf
        return top_slots(scores, keep)


def distinctness(keys: Tensor, steps: Tensor, content: ContentKeys | None = None) -> Tensor:
    """Minus the dot product of each normalised key with the sum of them all, float32 `[heads, slots]`.

    The sum stands for the mean, and the dot product for the cosine: within a head they differ by one positive factor.
    A zero key is at right angles to everything.
    """
    heads, slots, dim = keys.shape

    def unit(part: slice) -> Tensor:
        some = keys[:, part] if content is None else content(keys[:, part], steps[:, part])
        return F.normalize(some.float(), dim=-1, eps=TINY)

    anchor, scores = (keys.new_zeros(size, dtype=torch.float32) for size in ((heads, 1, dim), (heads, slots)))
    for part in streamed(keys):
        anchor += unit(part).sum(dim=1, keepdim=True)
    for part in streamed(keys):
        scores[:, part] = -unit(part).mul_(anchor).sum(dim=-1)
    return scores
