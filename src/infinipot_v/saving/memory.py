"""A session's memory as a file: what is written, and what must be true of what is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import infinipot_v
from infinipot_v.cache import CappedCache
from infinipot_v.cache.checks import check_finite
from infinipot_v.models.base import Model
from infinipot_v.moment import SessionState, Setup
from infinipot_v.ring import Ring
from infinipot_v.saving.codec import decode, encode
from infinipot_v.saving.container import Container, opened, write
from infinipot_v.saving.errors import SaveError
from infinipot_v.saving.identity import Identity
from infinipot_v.saving.plausible import check_plausible
from infinipot_v.types import MemoryReport, UserError

FORMAT = 2
"""The version of the format. A reader knows all up to its own; 2 has text in the stream."""


def write_memory(
    path: str | Path,
    model: Model,
    setup: Setup,
    state: SessionState,
    report: MemoryReport,
    extra: Mapping[str, object],
) -> int:
    """Write a memory; returns the file's bytes. Raises `SaveError`; see `Session.save`."""
    tensors: dict[str, Tensor] = {}
    header = {
        "format": FORMAT,
        "version": infinipot_v.__version__,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "slots": "plain",
        "model": encode(Identity.of(model), tensors, "model"),
        "setup": encode(setup, tensors, "setup"),
        "state": encode(state, tensors, "memory"),
        "report": encode(report, tensors, "report"),
        "extra": dict(extra),
    }
    try:
        return write(path, header, tensors)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise SaveError(f"cannot save {path}: what was given as extra is no JSON ({error})") from error


@dataclass(frozen=True)
class SavedMemory:
    """A file's memory, ready to be taken up by a session of `model`. `restored`: see `MemoryReport`."""

    path: str | Path
    model: Model
    setup: Setup
    state: SessionState
    restored: str

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What does not fit, says of which file."""
        try:
            yield
        except (UserError, AssertionError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise SaveError(f"cannot open {self.path}: {' '.join(str(error).split())}") from error

    def check(self, cache: CappedCache) -> None:
        """Raise unless the cache, which has taken the memory up, holds what a stream leaves behind."""
        cache.check_integrity()
        check_finite(cache, 0, cache.prefix_tokens + cache.held_tokens)


def read_memory(path: str | Path, model: Model) -> SavedMemory:
    """Read a memory of this model. Raises `SaveError`; see `Session.load`."""
    with opened(path) as container:
        header = header_of(container)
        there = decode(Identity, header["model"], container.tensor)
        here = Identity.of(model)
        different = there.differences(here)
        if different:
            more = f" (and {len(different) - 1} more)" if len(different) > 1 else ""
            raise SaveError(
                f"{path} is a memory of another model than {model.name}: {different[0]}{more}; "
                f"open it with {there.name}"
            )
        setup = decode(Setup, header["setup"], container.tensor)
        state = decode(SessionState, header["state"], container.tensor)
    memory = SavedMemory(path, model, setup, state, there.elsewhere(here))
    with memory.explained():
        check_plausible(state, setup, model)
        return replace(memory, state=_placed(state, model, there.torch_dtype))


def header_of(container: Container) -> dict[str, Any]:
    """The header of a memory that this release can read. Raises `SaveError`."""
    match container.header:
        case {"format": int(number), "version": str(version)} if number > FORMAT:
            raise SaveError(
                f"{container.path} was made by infinipot-v {version}, in a newer format ({number}) than this release "
                f"reads ({FORMAT}): upgrade infinipot-v"
            )
        case {"format": int(), "slots": "plain", "model": dict(), "setup": dict(), "state": dict(), **rest} if (
            isinstance(rest.get("report"), dict) and isinstance(rest.get("extra"), dict)
        ):
            return dict(container.header)
        case {"slots": str(kind)} if kind != "plain":
            raise SaveError(f"{container.path} holds {kind} slots, which this release cannot read: upgrade infinipot-v")
    raise SaveError(f"{container.path} is damaged: its header is not that of a memory; take an older copy")


def _placed(state: SessionState, model: Model, dtype: torch.dtype) -> SessionState:
    """Everything but the slots, which the cache places itself, where the model is and in its dtype."""

    def place(tensor: Tensor) -> Tensor:
        return tensor.to(model.device, model.hf.dtype if tensor.dtype == dtype else tensor.dtype)

    def place_any(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: place_any(item) for name, item in value.items()}
        if isinstance(value, torch.device):
            return model.device
        if value is dtype:
            return model.hf.dtype
        return place(value) if isinstance(value, Tensor) else value

    ring, memo, hidden = state.moment.ring, state.reduced.memo, int(model.text_config.hidden_size)
    if any(step.embeddings.shape != (step.steps.numel(), hidden) for step, _ in ring.steps):
        raise UserError("a step of the ring has another shape than this model's")
    if any(step.dim() != 2 or step.shape[1] != hidden for step in memo.steps):
        raise UserError("a step that the reduction remembers has another shape than this model's")
    steps = tuple((replace(step, embeddings=place(step.embeddings)), clock) for step, clock in ring.steps)
    return replace(
        state,
        moment=replace(state.moment, ring=Ring(ring.size, steps)),
        reduced=replace(state.reduced, memo=replace(memo, steps=tuple(map(place, memo.steps)))),
        cache=replace(state.cache, others=tuple(place_any(other) for other in state.cache.others)),
    )
