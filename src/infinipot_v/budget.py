"""The budget: how much the memory may hold, in tokens or in bytes. Knows no model and no tensor."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from infinipot_v.types import UserError

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

MOST = 2**50
"""No machine holds more tokens or bytes."""


@dataclass(frozen=True)
class Budget:
    """The hard cap of a session's memory.

    `tokens` is |M|: stream slots per layer and head. Given `bytes` instead, |M| is the largest one whose
    `cap_bytes` (prefix, room, slot metadata and the state of other layer kinds included) does not exceed it.
    `keep` is |C|/|M|, the share left by a compaction (1.0 is legal: every compaction frees just enough).
    `room` is the number of slots on top of |M| for history, question, answer and one provisional step.

    Raises `UserError` when a field is out of range, or when both or neither of `tokens` and `bytes` are given.
    Source: arXiv 2506.15745, section 3 (|M|, |C|); `room` and the byte form are ours.
    """

    tokens: int | None = None
    bytes: int | None = None
    keep: float = 0.75
    room: int = 512

    def __post_init__(self) -> None:
        if (self.tokens is None) == (self.bytes is None):
            raise UserError(
                "a budget is given either in tokens or in bytes: Budget(tokens=6144) or Budget(bytes=2**29)"
            )
        for name in ("tokens", "bytes", "room"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value > MOST):
                raise UserError(f"{name}={value!r} is no whole number of a possible size: write for example 6144")
        if not isinstance(self.keep, int | float):
            raise UserError(f"keep={self.keep!r} is no number: it is a share, above 0 and at most 1")
        if self.tokens is not None and self.tokens < 1:
            raise UserError(f"a budget of {self.tokens} tokens holds nothing: give at least the tokens of one step")
        if self.bytes is not None and self.bytes < 1:
            raise UserError(f"a budget of {self.bytes} bytes holds nothing: give for example 512MiB")
        if not 0.0 < self.keep <= 1.0:
            raise UserError(f"keep={self.keep} is out of range: it is a share, above 0 and at most 1")
        if self.room < 1:
            raise UserError(f"room={self.room} leaves no place for a question: the default is 512")

    @classmethod
    def parse(cls, text: str, *, keep: float = 0.75, room: int = 512) -> Budget:
        """Read `"6144"` as tokens and `"512MiB"`, `"1.5GB"` as bytes; raises `UserError` on anything else."""
        match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([a-zA-Z]*)\s*", text)
        if match is None or match[2].lower() not in _UNITS:
            raise UserError(f"cannot read the budget {text!r}: write tokens (6144) or bytes (512MiB, 2GB)")
        if match[2]:
            return cls(bytes=int(float(match[1]) * _UNITS[match[2].lower()]), keep=keep, room=room)
        if "." in match[1]:
            raise UserError(f"cannot read the budget {text!r}: tokens are whole; for bytes add a unit, as in 512MiB")
        return cls(tokens=int(match[1]), keep=keep, room=room)

    def resolve(self, fixed_bytes: int, bytes_per_slot: int) -> Budget:
        """Return the same budget with `tokens` set: |M| = floor((bytes - fixed) / bytes a stream slot)."""
        if self.bytes is None:
            return self
        tokens = (self.bytes - fixed_bytes) // bytes_per_slot
        if tokens < 1:
            least = fixed_bytes + bytes_per_slot
            raise UserError(
                f"a budget of {self.bytes} bytes does not hold one token: this model needs at least {least} bytes"
            )
        return replace(self, tokens=tokens, bytes=None)

    def target(self, incoming: int) -> int:
        """|C| before a step of `incoming` tokens: min(floor(keep |M|), |M| - incoming), never below zero."""
        assert self.tokens is not None, "resolve() comes first"
        return max(0, min(int(self.keep * self.tokens), self.tokens - incoming))
