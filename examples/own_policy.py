"""A policy of your own: what stays when the memory is full. Usage: own_policy.py VIDEO [MODEL]

VIDEO may be one of pocket_video.py. Give an instance wherever a policy's name can stand; its fields are its options.
"""

import sys
from dataclasses import dataclass
from typing import ClassVar

import infinipot_v as iv


@dataclass(frozen=True)
class LoudKeys(iv.Policy):
    """Keeps the `newest` tokens of every head, and those of the others whose keys are longest."""

    name: ClassVar[str] = "loud-keys"
    newest: int = 64

    def select(self, view, keep):
        score = view.keys.float().norm(dim=-1)  # [heads, slots], oldest first
        score[:, -self.newest :] = float("inf")
        return score.topk(keep).indices.sort().values


arguments = dict(enumerate(sys.argv))
session = iv.Session(iv.load_model(arguments.get(2, "pocket")), iv.Budget(tokens=256), LoudKeys(newest=32))
with iv.open_source(arguments[1]) as source:
    session.watch(source)
print("What came last?", session.ask("What came last?").text, session.report().policy)
