"""Logits: a session's, token by token, against one plain forward of stock Hugging Face over the same."""

from __future__ import annotations

import torch
from torch import Tensor

from infinipot_v.verify.finding import Finding, within, yes_or_no
from infinipot_v.verify.labels import Labels
from infinipot_v.verify.places import where_apart
from infinipot_v.verify.readout import chosen_tokens, embeddings_apart, logits_of, share_of
from infinipot_v.verify.recording import Recording
from infinipot_v.verify.subject import Subject

NOISE = 3.0
"""The tolerance is also this often what plain Hugging Face differs from itself; see `Subject.rounding`."""


def tolerance_of(subject: Subject, logits: Tensor) -> float:
    """How far logits may lie from `logits`, which are plain Hugging Face's."""
    return max(share_of(subject.model.hf.dtype) * float(logits.std()), NOISE * subject.rounding)


def finite(subject: Subject) -> Finding:
    """Finite logits, with a spread: a flat model would pass any comparison."""
    logits = subject.streamed.logits
    assert logits is not None, "a question was asked"
    broken = int((~logits.isfinite()).sum())
    if broken:
        return Finding("finite", False, float(broken), 0.0, f"{broken} logits behind the question are NaN or infinite")
    spread = float(logits.std())
    return yes_or_no(
        "finite", spread > 1e-3, f"the logits are flat (spread {spread:.1e})", f"finite, spread {spread:.2f}"
    )


def embedded(subject: Subject) -> Finding:
    """The inputs of the language model: embeddings of pictures and text, in order."""
    ours, theirs = subject.streamed.inputs, subject.plain.inputs
    if ours.shape != theirs.shape:
        return Finding("embeddings", False, None, None, f"{len(ours)} tokens are run, and should be {len(theirs)}")
    apart, tolerance = embeddings_apart(ours, theirs), subject.slack
    figure = float(apart.max())
    wrong = ~(apart <= tolerance)
    right = f"{len(ours)} differ by {figure:.1e} of themselves at most"
    if not bool(wrong.any()):
        return within("embeddings", figure, tolerance, "", right)
    words = f"{_misplaced(ours, theirs, wrong)}, first at {_labels(subject).first(wrong)}"
    return within("embeddings", figure, tolerance, words, right)


def equal(subject: Subject) -> Finding:
    """With transformers' own positions."""
    return _compared("logits", subject, subject.streamed, subject.plain)


def by_default(subject: Subject) -> Finding:
    """With the positions that the family has by default; plain Hugging Face is told where text belongs."""
    return _compared("logits by default", subject, subject.by_default, subject.plain_by_default)


def _compared(name: str, subject: Subject, ours: Recording, theirs: Recording) -> Finding:
    if ours.inputs.shape != theirs.inputs.shape:
        wrong = f"{len(ours.inputs)} tokens are run, and should be {len(theirs.inputs)}"
        return Finding(name, False, None, None, wrong)
    stock = logits_of(subject.model.hf, theirs)
    tolerance, spread = tolerance_of(subject, stock), float(stock.std())
    apart = (logits_of(subject.model.hf, ours) - stock).abs().amax(1)
    figure, beyond = float(apart.max()), ~(apart <= tolerance)
    if not bool(beyond.any()):
        right = f"{len(stock)} tokens differ by {figure:.1e} (spread {spread:.2f}, rounding {subject.rounding:.1e})"
        return within(name, figure, tolerance, "", right)
    first = _labels(subject).name(int(chosen_tokens(len(ours.inputs))[beyond.cpu()][0]))
    return within(
        name, figure, tolerance, f"differ from {first} on by {figure:.2g}: {_cause(subject, ours, theirs)}", ""
    )


def _labels(subject: Subject) -> Labels:
    return Labels.of(subject.streamed, subject.steps)


def _misplaced(ours: Tensor, theirs: Tensor, wrong: Tensor) -> str:
    """Whether the wrong embeddings are right ones in the wrong place."""
    rows = wrong.nonzero().flatten()[:64]
    nearest = torch.cdist(ours[rows], theirs).amin(1)
    own = (ours[rows] - theirs[rows]).norm(dim=1)
    return "embeddings are in another order" if bool((nearest < 0.1 * own).all()) else "embeddings differ"


def _cause(subject: Subject, ours: Recording, theirs: Recording) -> str:
    """What differs before the language model runs, if anything."""
    if float(embeddings_apart(ours.inputs, theirs.inputs).max()) > subject.slack:
        return "the embeddings that enter the language model differ already"
    if ours.places.shape != theirs.places.shape:
        return "the positions are of another number of axes"
    if words := where_apart(subject, ours.places, theirs.places):
        return words
    return "embeddings and positions are equal, so what the cache or the attention returns is wrong"
