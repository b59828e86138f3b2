"""Whether a memory can take what it will be shown: a step, a probe, a ring and a question beside each other."""

from __future__ import annotations

from infinipot_v.cache import CappedCache
from infinipot_v.models.base import Canvas, Model
from infinipot_v.types import Frame, UserError

MOST_CHARACTERS = 2**16
"""Of a frame's text; a memory's step takes some hundreds."""


def check_next(frame: Frame, last: float, text_tokens: int) -> None:
    """Raise `UserError` unless a frame comes after `last` seconds, and says nothing where nothing may be said."""
    if not frame.seconds > last:
        raise UserError(f"a frame at {frame.seconds:.3f} s follows one at {last:.3f} s: times must ascend")
    if len(frame.text) > MOST_CHARACTERS:
        raise UserError(f"the frame at {frame.seconds:.3f} s brings {len(frame.text)} characters of text: bring less")
    if frame.text.strip() and not text_tokens:
        raise UserError(
            f"the frame at {frame.seconds:.3f} s brings text, and this memory takes none: "
            "open it with Session(text_tokens=64) (--text-tokens)"
        )


def check_waiting(model: Model, text_tokens: int, step: int, room: int) -> None:
    """Raise `UserError` unless the room takes a step that waits for its last frame, with what that may say."""
    if text_tokens and model.frames_per_step > 1 and step >= room:
        raise UserError(
            f"a step that waits takes up to {step} tokens with its text, and the room has {room} slots: open one of "
            f"more than {step} (--room, Budget(room=)), or lower text_tokens (--text-tokens)"
        )


def probe_ids(model: Model, cache: CappedCache, system: str | None) -> list[int] | None:
    """Token ids of the policy's probe, where it is a question. Raises `UserError` when the room cannot take it."""
    policy = cache.policy
    if not policy.needs_queries or policy.probe is None:
        return None
    ids = model.prompt.behind(system, [], policy.probe)
    check_probe(cache, len(ids))
    return ids


def check_probe(cache: CappedCache, tokens: int) -> None:
    """Raise `UserError` unless the room takes what the policy shows before it compresses."""
    if tokens > cache.budget.room:
        raise UserError(
            f"the policy {cache.policy.name} shows {tokens} tokens in the room before it compresses, and the "
            f"room has {cache.budget.room} slots: open one of at least {tokens} (--room, Budget(room=))"
        )


def check_fit(model: Model, cache: CappedCache, canvas: Canvas, prefix: int) -> None:
    """Raise `UserError` unless a step of this size fits the budget, and all of it the model's positions."""
    tokens, room, limit = cache.tokens, cache.budget.room, model.position_limit
    step = model.step_tokens(canvas)
    if cache.policy.bounded and tokens < step:
        raise UserError(
            f"a budget of {tokens} tokens is below one step ({step} tokens at this resolution): "
            "raise the budget, or lower tokens_per_step (--tokens-per-step) where the model allows it"
            + (", or text_tokens (--text-tokens)" if canvas.text else "")
        )
    check_waiting(model, canvas.text, step, room)
    if cache.policy.needs_queries and cache.policy.probe is None:
        check_probe(cache, step)
    if limit is not None and prefix + room >= limit:
        raise UserError(f"a room of {room} leaves none of the model's {limit} positions to the video: lower the room")
    most = cache.ranked_slots
    if limit is not None and most is not None and most > limit:
        raise UserError(
            f"prefix, budget and room take {most} positions, but the model was trained for {limit}: "
            f"lower the budget to at most {limit - most + tokens} tokens, or the room"
        )
