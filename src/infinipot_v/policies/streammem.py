"""What the chat template's own tokens attend to (StreamMem, arXiv 2508.15717).

Re-implemented, not checked against its authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from infinipot_v.policies.attention import attention_received
from infinipot_v.policies.base import ALL_QUERIES, KVView, Policy, all_slots
from infinipot_v.policies.scores import top_slots


@dataclass(frozen=True)
class StreamMem(Policy):
    """Keeps, in each head, the slots that the template's tokens between a video and its answer attend to most.

    These tokens stand for a question that nobody has asked yet: what closes the video, the end of the user's turn and
    the opening of the answer.

    Departures: the paper also merges near-duplicate frames before the language model (here a matter of what is fed to
    the session), keeps a merged prototype of each frame beside the tokens (merging is not a policy here) and stretches
    positions (the clock's business). It compresses after every clip, here a compaction comes when a step does not fit.
    Its scores are of vision tokens; text in the stream competes as any other slot. See `attention_received` for the
    softmax.
    """

    name: ClassVar[str] = "streammem"

    @property
    def needs_queries(self) -> int:
        """See `Policy`."""
        return ALL_QUERIES

    @property
    def probe(self) -> str:
        """See `Policy`."""
        return ""

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`; the newer ones among equals."""
        return all_slots(view) if keep == view.slots else top_slots(attention_received(view), keep)
