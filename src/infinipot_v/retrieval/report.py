"""What a retrieval session says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RetrievalReport:
    """What is held, and where. Tokens are per layer and head; bytes are bytes.

    `kept_bytes` lie at `where` and grow with the stream; `working_bytes` lie on the device now, and
    `peak_working_bytes` is the most that did, answers included. `nbytes` is kept and working bytes together.
    `cut_tokens` were said and had no place.
    """

    policy: str
    where: str
    held_tokens: int
    seen_tokens: int
    window_tokens: int
    prefix_tokens: int
    room_tokens: int
    steps: int
    cut_tokens: int
    frames: int
    waiting_frames: int
    seconds: float
    kept_bytes: int
    working_bytes: int
    peak_working_bytes: int
    nbytes: int
    peak_bytes: int
    position: int
    position_limit: int | None
