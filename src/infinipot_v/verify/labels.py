"""Names of a run's tokens, so that a finding can say where something is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from infinipot_v.verify.recording import Recording


@dataclass(frozen=True)
class Labels:
    """A run of `prefix` tokens, `steps` steps of `step_tokens` tokens, and a question."""

    prefix: int
    steps: int
    step_tokens: int

    @classmethod
    def of(cls, streamed: Recording, steps: int) -> Labels:
        """The labels of a session's run: its first call is the prefix, its last the question."""
        pieces = streamed.pieces
        return cls(pieces[0], steps, max(1, sum(pieces[1:-1]) // max(1, steps)))

    def name(self, token: int) -> str:
        """`prompt token 3`, `step 0, token 5`, `question token 2`."""
        if token < self.prefix:
            return f"prompt token {token}"
        step, inside = divmod(token - self.prefix, self.step_tokens)
        if step < self.steps:
            return f"step {step}, token {inside}"
        return f"question token {token - self.prefix - self.steps * self.step_tokens}"

    def first(self, wrong: Tensor) -> str:
        """The name of the first token that is true in `wrong` `[tokens]`."""
        return self.name(int(wrong.nonzero()[0]))
