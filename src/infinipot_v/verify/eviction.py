"""After eviction: a compacted memory against a full one that sees only what the compacted one still held."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infinipot_v.cache.layers import capped
from infinipot_v.policies import make_policy
from infinipot_v.session import Session
from infinipot_v.types import Frame
from infinipot_v.verify.finding import CannotCheck, Finding, within
from infinipot_v.verify.logits import tolerance_of
from infinipot_v.verify.masking import Book, Watching, seeing
from infinipot_v.verify.plain import slow_inputs
from infinipot_v.verify.recording import recording
from infinipot_v.verify.subject import Subject

TOKENS, STEPS = 800, 12
"""The plain side runs the whole video at once: so many tokens, and steps, at most; never fewer than `FEWEST`."""
FEWEST = 4


def original(subject: Subject) -> Finding:
    """Every token keeps its position; what is forgotten is masked."""
    return _compared("eviction", subject, "hf")


def by_default(subject: Subject) -> Finding:
    """With the family's default positions, where these are re-assigned among what is held."""
    if subject.model.default_positions != "compact":
        return Finding("eviction by default", None, None, None, "skipped: by default this family keeps its positions")
    return _compared("eviction by default", subject, "compact")


def labels(subject: Subject) -> Finding:
    """After compactions every slot still says which step and cell its token is of."""
    frames = _frames(subject)
    session, book, _ = _forgetting(subject, frames, "hf")
    whole = subject.session(frames=frames)
    whole.watch(iter(frames))
    _, _, steps, cells, _ = capped(whole.cache.layers)[0].store.stream()
    first, wrong, total = book.pieces[0].stop, 0, 0
    for held, layer in zip(book.held(), capped(session.cache.layers), strict=True):
        _, _, said_steps, said_cells, _ = layer.store.stream()
        true = (held - first).to(steps.device)
        wrong += int(((steps[0][true] != said_steps) | (cells[0][true] != said_cells)).sum())
        total += held.numel()
    count = session.cache.counters.compressions
    words = f"{wrong} of {total} slots say another step or cell than their token's after {count} compactions"
    return within(
        "labels", float(wrong), 0.0, words, f"{total} slots say their step and cell after {count} compactions"
    )


def _frames(subject: Subject) -> tuple[Frame, ...]:
    """As many steps as a plain run may take at once. Raises `CannotCheck` where the video has too few."""
    frames = subject.first_steps(max(FEWEST, min(STEPS, TOKENS // subject.canvas.grid.tokens)))
    if len(frames) < FEWEST * subject.model.frames_per_step:
        raise CannotCheck(f"the video has {len(frames)} frames, too few to forget anything")
    return frames


def _compared(name: str, subject: Subject, positions: str) -> Finding:
    frames = _frames(subject)
    session, book, ours = _forgetting(subject, frames, positions)
    inputs, turning = slow_inputs(subject.model.family, subject.shown(frames)), None
    if positions == "compact":
        tokens = inputs["input_ids"].shape[1]
        turning = subject.model.hf.get_decoder().rotary_emb.inv_freq
        theirs = _masked(subject, session, book, {**inputs, "position_ids": torch.zeros(1, tokens).long()}, turning)
    else:
        theirs = _masked(subject, session, book, inputs, None)
    whole = subject.run_plain(inputs).logits
    assert whole is not None, "a plain run ends in logits"
    figure, all_of_it = float((ours - theirs).abs().max()), float((ours - whole).abs().max())
    count = session.cache.counters.compressions
    right = f"{figure:.1e} apart after {count} compactions (from a cache that forgot nothing: {all_of_it:.2g})"
    wrong = f"after {count} compactions logits differ by {figure:.2g} from a full cache that sees only what was kept"
    return within(name, figure, tolerance_of(subject, theirs), wrong, right)


def _masked(subject: Subject, session: Session, book: Book, inputs: dict[str, Any], turning: Tensor | None) -> Tensor:
    known = capped(session.cache.layers)
    layers = {index: known.index(layer) for index, layer in enumerate(session.cache.layers) if layer in known}
    with seeing(subject.model.hf, layers, book, turning):
        logits = subject.run_plain(inputs).logits
    assert logits is not None, "a plain run ends in logits"
    return logits


def _forgetting(subject: Subject, frames: tuple[Frame, ...], positions: str) -> tuple[Session, Book, Tensor]:
    """A session at two fifths of what it sees; what it held, piece by piece; and its logits behind the question."""
    policy, steps = Watching(make_policy("infinipot-v")), len(frames) // subject.model.frames_per_step
    size = subject.model.step_tokens(subject.canvas)
    session = subject.session(
        tokens=max(2, steps * 2 // 5) * size + size // 2, policy=policy, frames=frames, positions=positions, block=1
    )
    book = Book(policy, [layer.store.shape.heads for layer in capped(session.cache.layers)])

    def reading(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        book.before(kwargs["inputs_embeds"].shape[1])

    hook = subject.model.hf.get_decoder().register_forward_pre_hook(reading, with_kwargs=True)
    try:
        with recording(subject.model.hf) as record:
            session.watch(iter(frames))
            session.ask(subject.question, remember=False)
    finally:
        hook.remove()
    assert record.logits is not None, "a question was asked"
    return session, book, record.logits
