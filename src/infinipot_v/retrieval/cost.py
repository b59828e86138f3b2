"""What retrieval keeps, by formula: it has no cap, so its bytes follow from the length of the stream alone."""

from __future__ import annotations

HOUR = 3600


def token_bytes(layers: int, heads: int, dim: int, itemsize: int = 2) -> int:
    """Bytes of one token's keys and values over all layers; `heads` are KV heads, `itemsize` 2 for bf16."""
    return 2 * layers * heads * dim * itemsize


def kept_bytes_an_hour(bytes_a_token: int, step_tokens: int, steps_a_second: float) -> int:
    """Bytes that an hour of video leaves on the shelves, all layers together."""
    return round(bytes_a_token * step_tokens * steps_a_second * HOUR)
