"""The list of all checks, and how they are run. A check that raises has failed; one that cannot be made says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch

from infinipot_v.types import UserError
from infinipot_v.verify import answer, cells, decoding, eviction, logits, memory, pixels, places, prompt, repeat, trace
from infinipot_v.verify.finding import CannotCheck, Check, Finding
from infinipot_v.verify.subject import Subject

CHECKS: dict[str, Check] = {
    "prompt": prompt.template_ids,
    "prompt by the processor": prompt.processor_ids,
    "pixels": pixels.same_size,
    "pixels resized": pixels.resized,
    "pixels by the processor": pixels.by_the_processor,
    "embeddings": logits.embedded,
    "positions": places.as_transformers,
    "positions by default": places.as_trained,
    "finite": logits.finite,
    "logits": logits.equal,
    "logits by default": logits.by_default,
    "next tokens": decoding.next_tokens,
    "cells": cells.cells,
    "steps": cells.steps,
    "eviction": eviction.original,
    "eviction by default": eviction.by_default,
    "labels": eviction.labels,
    "cap": memory.formula,
    "cap held": memory.kept,
    "no trace": trace.ask,
    "repeatable": repeat.same_twice,
    "answer": answer.one,
}


def run_checks(
    subject: Subject, while_at: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext()
) -> Iterator[Finding]:
    """Run every check, in order, and yield what it found; `while_at(name)` is open while it runs."""
    for name in CHECKS:
        began = time.perf_counter()
        with while_at(name):
            finding = run_check(name, subject)
        yield replace(finding, seconds=round(time.perf_counter() - began, 3))


def run_check(name: str, subject: Subject) -> Finding:
    """Run one check by its name, in full float32 where it is float32. Whatever it raises becomes a finding."""
    try:
        with _no_tf32():
            return CHECKS[name](subject)
    except CannotCheck as reason:
        return Finding(name, None, None, None, f"skipped: {reason}")
    except UserError as error:
        return Finding(name, False, None, None, f"refused: {error}")
    except Exception as error:  # an adapter that is wrong may raise anything, anywhere
        said = (str(error).strip().splitlines() or [""])[0]
        return Finding(name, False, None, None, f"fails: {type(error).__name__}: {said}")


@contextmanager
def _no_tf32() -> Iterator[None]:
    """On CUDA, convolutions round float32 to ten bits unless told otherwise: too coarse for exact comparisons."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
