"""Positions: what the language model is given for every token, against what transformers computes by itself."""

from __future__ import annotations

from torch import Tensor

from infinipot_v.verify.finding import Finding, yes_or_no
from infinipot_v.verify.labels import Labels
from infinipot_v.verify.subject import Subject

AXES = ("time", "height", "width")


def as_transformers(subject: Subject) -> Finding:
    """With `positions="hf"`: transformers' own, token by token."""
    return _compared("positions", subject, subject.streamed.places, subject.plain.places, "transformers'")


def as_trained(subject: Subject) -> Finding:
    """With the default positions: pictures as transformers has them, text behind them at the largest position + 1."""
    ours, theirs = subject.by_default.places, subject.plain_by_default.places
    return _compared("positions by default", subject, ours, theirs, "the models' training (text at the largest + 1)")


def where_apart(subject: Subject, ours: Tensor, theirs: Tensor, whose: str = "transformers'") -> str:
    """In words, where positions `[axes, tokens]` differ from others of the same shape; empty where nowhere."""
    apart = ours - theirs
    if not bool(apart.any()):
        return ""
    labels = Labels.of(subject.streamed, subject.steps)
    token = int(apart.any(0).nonzero()[0])
    axis = int(apart[:, token].nonzero()[0])
    count, which = int(apart.any(0).sum()), f" on the {AXES[axis]} axis" if len(apart) == len(AXES) else ""
    return (
        f"the position of {labels.name(token)} differs from {whose} by {int(apart[axis, token]):+d}{which} "
        f"({count} of {apart.shape[1]} tokens differ)"
    )


def _compared(name: str, subject: Subject, ours: Tensor, theirs: Tensor, whose: str) -> Finding:
    if ours.shape != theirs.shape:
        counts = f"{ours.shape[1]} tokens on {ours.shape[0]} axes, and should be {theirs.shape[1]} on {theirs.shape[0]}"
        return yes_or_no(name, False, f"the positions are of {counts}", "")
    words = where_apart(subject, ours, theirs, whose)
    return yes_or_no(name, not words, words, f"{ours.shape[1]} tokens on {ours.shape[0]} axes are equal")
