"""What an observation window attends to (SnapKV, arXiv 2404.14469), in continual form: at every compaction anew.

Re-implemented, not checked against its authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from infinipot_v.policies.attention import attention_received, pool_neighbours
from infinipot_v.policies.base import KVView, Policy, all_slots
from infinipot_v.policies.options import check_choice, check_text, check_window
from infinipot_v.policies.scores import top_slots


@dataclass(frozen=True)
class SnapKV(Policy):
    """Keeps, in each head, the slots that the window's queries attend to most, pooled over neighbours.

    - `window`: how many of the newest queries vote; the step that does not fit, if it has no more tokens.
    - `kernel`, `pooling`: width (odd) and kind of the pooling over neighbouring slots; "off": none.
    - `question`: a question whose tokens are the window instead, as if it were known while watching. For the experiment
      in which a memory is compressed for one question and asked others: not a method for streams.

    Departures: the paper compresses a whole prompt once, and its window is the prompt's end; here the window is the
    step that arrives, which is kept, as the paper's window is. Query heads that share a key head vote together, where
    the paper's code repeats the keys. Pooling does not count what lies beyond the ends. See `attention_received` for
    the softmax.
    """

    name: ClassVar[str] = "snapkv"

    window: int = 32
    kernel: int = 5
    pooling: Literal["average", "max", "off"] = "average"
    question: str = ""

    def __post_init__(self) -> None:
        check_window("window", self.window)
        check_window("kernel", self.kernel, odd=True)
        check_choice("pooling", self.pooling, ("average", "max", "off"))
        check_text("question", self.question)

    @property
    def needs_queries(self) -> int:
        """See `Policy`."""
        return self.window

    @property
    def probe(self) -> str | None:
        """See `Policy`."""
        return self.question or None

    def select(self, view: KVView, keep: int) -> Tensor:
        """Return int64 `[heads, keep]`; the newer ones among equals."""
        if keep == view.slots:
            return all_slots(view)
        scores = attention_received(view)
        if self.pooling != "off":
            scores = pool_neighbours(scores, self.kernel, self.pooling)
        return top_slots(scores, keep)
