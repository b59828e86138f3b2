"""What a prompt that asks for the essence attends to (InfiniPot's catalyst prompt, arXiv 2410.01518).

Re-implemented, not checked against its authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from infinipot_v.policies.attention import attention_received
from infinipot_v.policies.base import ALL_QUERIES, KVView, Policy, all_slots
from infinipot_v.policies.options import check_text
from infinipot_v.policies.scores import top_slots
from infinipot_v.types import UserError


@dataclass(frozen=True)
class InfiniPot(Policy):
    """Keeps, in each head, the slots that the tokens of a proxy question attend to most (CaP).

    - `prompt`: the proxy question; shown behind the video right before a compaction, and rolled back.

    Departures: novelty under compression (NuC), the paper's other half, ranks tokens by their own next-token loss,
    which vision tokens do not have: all of |C| goes by CaP. The wording of the prompt is ours. It stands within the
    chat template, whose tokens vote too. Positions are the clock's business, so context-reset RoPE is
    positions="compact". See `attention_received` for the softmax.
    """

    name: ClassVar[str] = "infinipot"

    prompt: str = "Summarize what the video has shown so far, with everything that may matter later."

    def __post_init__(self) -> None:
        check_text("prompt", self.prompt)
        if not self.prompt.strip():
            raise UserError("prompt is empty: write a question, or choose the policy streammem, which asks none")

    @property
    def needs_queries(self) -> int:
        """See `Policy`."""
        return ALL_QUERIES

    @property
    def probe(self) -> str:
        """See `Policy`."""
        return self.prompt

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`; the newer ones among equals."""
        return all_slots(view) if keep == view.slots else top_slots(attention_received(view), keep)
