"""The cap: the published formula by hand, kept through many compactions, in the same buffers."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

from infinipot_v.cache.layers import capped
from infinipot_v.session import Session
from infinipot_v.types import Frame
from infinipot_v.verify.finding import CannotCheck, Finding, within, yes_or_no
from infinipot_v.verify.subject import Subject

COMPACTIONS = 8
WINDOW, METADATA = 512, 10
"""docs/memory.md: slots of the moving window; bytes of what is known of a slot; bytes of an index."""


def formula(subject: Subject) -> Finding:
    """`cap_bytes` against docs/memory.md, from config.json alone."""
    session = small_session(subject)
    report = session.report()
    wanted = by_hand(subject, report.budget_tokens, report.room_tokens, len(session.model.prompt.prefix()))
    apart = float(abs(report.cap_bytes - wanted))
    wrong = f"cap_bytes is {report.cap_bytes:,}, by the published formula it is {wanted:,}"
    return within("cap", apart, 0.0, wrong, f"{wanted:,} bytes for {report.budget_tokens} tokens, as by hand")


def kept(subject: Subject) -> Finding:
    """`nbytes` never above `cap_bytes`, and no buffer moved, while the memory compacts again and again."""
    session = small_session(subject)
    cap, addresses = session.cache.cap_bytes, _addresses(session)
    highest, frames = session.cache.nbytes, endless(subject)
    while session.cache.counters.compressions < COMPACTIONS:
        session.watch(islice(frames, subject.model.frames_per_step))
        highest = max(highest, session.cache.nbytes)
    if _addresses(session) != addresses:
        return yes_or_no("cap held", False, "buffers were allocated anew after the session began", "")
    wrong = f"the memory took {highest:,} bytes, above its cap of {cap:,}"
    if highest <= cap:
        session.cache.check_integrity()
    right = f"{highest:,} of {cap:,} bytes at most, in {COMPACTIONS} compactions, in the same buffers"
    return within("cap held", float(highest), float(cap), wrong, right)


def small_session(subject: Subject) -> Session:
    """A session of three steps and a bit at the default settings, so that nearly every step is a compaction."""
    return subject.session(tokens=3 * subject.step_tokens + 1)


def endless(subject: Subject) -> Any:
    """The subject's frames again and again, in ascending time."""
    for index, frame in enumerate(cycle(subject.frames)):
        yield Frame(frame.pixels, index / subject.fps)


def by_hand(subject: Subject, tokens: int, room: int, prefix: int) -> int:
    """(T + K) x (prefix + |M| + room) + (10 x G + A) x |M| + S, for models whose layers are all alike."""
    config = subject.stock_config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        others = ", ".join(sorted(kinds - {"full_attention"}))
        raise CannotCheck(f"layers of other kinds ({others}) keep a state whose size config.json does not tell")
    layers, item = config.num_hidden_layers, subject.model.hf.dtype.itemsize
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    devices = len({next(layer.parameters()).device for layer in subject.model.hf.get_decoder().layers})
    pairs = devices * _turning_pairs(subject, config, dim)
    token = 2 * layers * heads * dim * item + (devices * heads * dim * item if pairs else 0)
    label = METADATA * layers * heads + 2 * pairs * item
    window = devices * WINDOW * heads * (dim * item + METADATA)
    return int(token * (prefix + tokens + room) + label * tokens + window)


def _turning_pairs(subject: Subject, config: Any, dim: int) -> int:
    """Pairs of a key that turn with compact positions; 0 where the default is to leave positions alone."""
    if subject.model.default_positions != "compact":
        return 0
    rope = getattr(config, "rope_parameters", None) or {}
    section = rope.get("mrope_section")
    return int(section[0]) if section else int(dim * rope.get("partial_rotary_factor", 1.0)) // 2


def _addresses(session: Session) -> list[int]:
    stores = [layer.store for layer in capped(session.cache.layers)]
    return [buffer.data_ptr() for store in stores for buffer in (store.keys, store.values, store.steps, store.scores)]
