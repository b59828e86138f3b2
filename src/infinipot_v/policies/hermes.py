"""Bands of layers: the newest in shallow ones, what a proxy question attends to in deep ones, a mix between (HERMES).

Zhang, Yang, Fu, Ng, Qiu; arXiv 2601.14724. Re-implemented from the paper and the part of its code that is public, not
checked against its authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.policies.attention import attention_received
from infinipot_v.policies.base import ALL_QUERIES, KVView, Policy, all_slots
from infinipot_v.policies.options import check_share, check_text
from infinipot_v.policies.scores import top_slots
from infinipot_v.types import UserError

FASTEST, SLOWEST = 20.0, 0.5
"""How fast recency decays over the whole memory, in the first and towards the last of the middle layers."""

LEAST_RECENCY = 0.1
"""Recency's share towards the last of the middle layers; it is 1 in the first."""

FLAT = 1e-4
"""Scores that differ by less, of the largest, are not stretched: it would be rounding."""


@dataclass(frozen=True)
class Hermes(Policy):
    """Keeps the same slots in all heads of a layer, by a score that depends on the layer's depth.

        s_j = (1 - a) attention_j + a recency_j,   recency_j = exp(-k (slots - 1 - j) / (slots - 1))

    with both scaled to [0, 1] within the layer and attention meant over all heads. Shallow layers (the first `shallow`
    of them) have a = 1, deep layers (the last `deep`) a = 0; between them a falls from 1 by 0.9 and k from 20 by 19.5.

    - `shallow`, `deep`: shares of the layers.
    - `question`: the proxy question.

    Departures: the paper smooths scores from deep to shallow layers (a policy sees one layer at a time), folds what a
    deep layer drops into one summary token (merging is not a policy here), and re-indexes positions (the clock's
    business: positions="compact"). It asks a local and a global question for the shallow and the deep layers, and both
    together for the middle: here both together are asked once, in words of ours, within the chat template. See
    `attention_received` for the softmax.
    """

    name: ClassVar[str] = "hermes"

    shallow: float = 0.3
    deep: float = 0.3
    question: str = "What is happening right now, in every detail? And what has the whole video been about so far?"

    def __post_init__(self) -> None:
        check_share("shallow", self.shallow)
        check_share("deep", self.deep)
        check_text("question", self.question)
        if self.shallow + self.deep > 1:
            raise UserError(f"shallow={self.shallow} and deep={self.deep} are more than all layers: lower one")

    @property
    def needs_queries(self) -> int:
        """See `Policy`."""
        return ALL_QUERIES

    @property
    def probe(self) -> str:
        """See `Policy`."""
        return self.question

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`, the same slots in all heads; the newer ones among equals."""
        if keep == view.slots:
            return all_slots(view)
        share, speed = self._recency(view.layer, view.num_layers)
        age = torch.arange(view.slots - 1, -1, -1, device=view.keys.device) / max(1, view.slots - 1)
        scores = share * _scaled(torch.exp(-speed * age))
        if share < 1:
            scores += (1 - share) * _scaled(attention_received(view).mean(0))
        return top_slots(scores[None], keep).expand(len(view.keys), -1)

    def _recency(self, layer: int, layers: int) -> tuple[float, float]:
        """Recency's share and the speed of its decay."""
        first, last = int(self.shallow * layers), int((1 - self.deep) * layers)
        if layer < first:
            return 1.0, FASTEST
        if layer >= last:
            return 0.0, 0.0
        depth = (layer - first) / (last - first)
        return 1 - (1 - LEAST_RECENCY) * depth, FASTEST - (FASTEST - SLOWEST) * depth


def _scaled(scores: Tensor) -> Tensor:
    """Positive scores shifted and stretched to [0, 1], unless they are as good as equal."""
    least, most = torch.aminmax(scores)
    return (scores - least) / torch.maximum(most - least, FLAT * most)
