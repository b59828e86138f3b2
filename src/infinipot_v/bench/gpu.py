"""`infinipot-v bench gpu`: is it exact there, how fast is it, what does it take; shape by shape, until time is up."""

from __future__ import annotations

import platform
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from infinipot_v.bench import answer, exactness, memory, positions, stream
from infinipot_v.bench.meter import Meter, device_bytes, device_name, device_of, free, out_of_memory
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.rows import Result, Row, same_settings
from infinipot_v.bench.shapes import DEFAULT, Shape, build, shapes_of
from infinipot_v.bench.subject import Sizes, Subject
from infinipot_v.bench.timing import Deadline, TimeUp
from infinipot_v.models.base import Model
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

MEASURES: dict[str, Callable[[Subject, Notebook], None]] = {
    "exactness": exactness.measure,
    "stream": stream.measure,
    "answer": answer.measure,
    "positions": positions.measure,
    "memory": memory.measure,
}
"""In the order in which they run: what takes longest comes last."""

HOW = {
    "weights": "random, std gain / sqrt(fan in), made on the device; tokenizer and template are those of the tests",
    "spread": "interquartile range; rows that are compared take turns",
    "exactness": "logits of the question against one plain forward over the same embeddings at the same positions; "
    "pieces: plain Hugging Face with its own cache, in the same pieces",
    "stream": "the device is waited for at the border of every part; counted from a full memory on",
    "memory": "random embeddings stand for pictures; held and peak include the weights; `full` runs in blocks, "
    "too, and doubles its slots as it grows",
    "answer, positions": "the memory is filled with random embeddings; wall-clock times of Session.ask",
    "position_limit": "families with one position a token get as many positions as the longest control needs",
}


@dataclass(frozen=True)
class Plan:
    """What is to be run. Without `measures`, each shape's own; `seconds` is shared evenly among the shapes left."""

    shapes: tuple[Shape, ...]
    device: torch.device
    measures: tuple[str, ...] | None = None
    layers: int | None = None
    seconds: float | None = None
    sizes: Sizes = field(default_factory=Sizes)

    @classmethod
    def of(
        cls,
        shapes: Sequence[str] = DEFAULT,
        device: str = "cuda",
        measures: Sequence[str] = (),
        layers: int | None = None,
        seconds: float | None = None,
        sizes: Sizes | None = None,
    ) -> Plan:
        """A plan from names. Raises `UserError` for an unknown one, a device that is not there, a number below 1."""
        for name in measures:
            if name not in MEASURES:
                raise UserError(f"unknown measure {name!r}{did_you_mean(name, MEASURES)}; there are: "
                                f"{', '.join(MEASURES)}")  # fmt: skip
        if (layers is not None and layers < 1) or (seconds is not None and not seconds > 0):
            raise UserError("layers are at least 1, and the seconds above 0")
        chosen = shapes_of(tuple(shapes))
        return cls(chosen, device_of(device), tuple(measures) or None, layers, seconds, sizes or Sizes())

    def measures_of(self, shape: Shape) -> tuple[str, ...]:
        """What is measured of a shape."""
        return self.measures or (("exactness",) if shape.exact_only else tuple(MEASURES))

    @property
    def settings(self) -> dict[str, Any]:
        """What every row depends on; `shapes` fills up as they are built."""
        import transformers

        from infinipot_v import __version__

        versions = {
            "infinipot_v": __version__, "torch": torch.__version__, "transformers": transformers.__version__,
            "cuda": torch.version.cuda, "python": platform.python_version(),
        }  # fmt: skip
        return {
            "benchmark": "gpu", "device": device_name(self.device), "device_bytes": device_bytes(self.device),
            "versions": versions, "layers": self.layers,
            "sizes": asdict(self.sizes), "how": HOW, "shapes": {},
        }  # fmt: skip

    @property
    def stem(self) -> str:
        """The name of the files, without their endings."""
        return f"gpu-{re.sub('[^a-z0-9]+', '-', device_name(self.device).lower()).strip('-')}"


def begin(plan: Plan, folder: Path | None) -> Result:
    """An empty result, or what an earlier run has left in `folder`.

    Raises `UserError` when that was made with other settings: rows of two settings are never mixed.
    """
    path = folder / f"{plan.stem}.json" if folder else None
    if path is None or not path.exists():
        return Result(plan.settings)
    before = Result.read(path)
    differing = same_settings(before.settings, plan.settings)
    if differing:
        raise UserError(
            f"{path} was measured with other settings ({', '.join(differing)}): name another folder (--out)"
        )
    return before


def run(plan: Plan, result: Result, told: Callable[[Row], None] = lambda row: None) -> bool:
    """Measure what `result` does not hold yet, in place; `told` is called with every row. Returns whether all is in.

    Time that is up, memory that is not enough and errors end a part, not the run: `result.unfinished` says why.
    """
    end = Deadline.after(plan.seconds)
    missing = [(shape, _missing(plan, shape, result)) for shape in plan.shapes]
    missing = [(shape, parts) for shape, parts in missing if parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (shape, parts) in enumerate(missing):
            _run_shape(plan, shape, parts, end.share(len(missing) - number), result, told)
            free(plan.device)
    return all(not _missing(plan, shape, result) for shape in plan.shapes)


def _missing(plan: Plan, shape: Shape, result: Result) -> list[str]:
    return [name for name in plan.measures_of(shape) if f"{shape.name}/{name}" not in result.done]


def _run_shape(
    plan: Plan, shape: Shape, measures: list[str], end: Deadline, result: Result, told: Callable[[Row], None]
) -> None:
    """All measures of one shape; the model lives no longer than this."""
    subject: Subject | None = None
    for name in measures:
        part = f"{shape.name}/{name}"
        result.forget(part)
        reason = None
        try:
            end.check()
            subject = subject or _built(plan, shape, end, result, told)
            MEASURES[name](subject, Notebook(result, part, told))
            result.done.append(part)
            continue
        except Exception as error:  # a part that fails must not take the others with it
            reason = _reason(error)
        # Only here is the traceback gone, which held the tensors of the failed part.
        free(plan.device)
        result.unfinished[part] = reason
        told(Row.missing(part, "", reason))


def _built(plan: Plan, shape: Shape, end: Deadline, result: Result, told: Callable[[Row], None]) -> Subject:
    began = time.perf_counter()
    model = build(shape, str(plan.device), plan.layers, positions=plan.sizes.seen[-1] + 4096)
    seconds = time.perf_counter() - began
    subject = Subject(model, shape.frame, plan.sizes, end)
    result.settings["shapes"][shape.name] = {**_described(subject, model), "built_seconds": round(seconds, 2)}
    result.forget(f"{shape.name}/build")
    Notebook(result, f"{shape.name}/build", told).row("seconds", [seconds], "s", _summary(subject))
    return subject


def _summary(subject: Subject) -> str:
    about = _described(subject, subject.model)
    billions = about["parameters"] / 1e9
    return f"{billions:.2f} B parameters, {about['layers']} layers, {about['tokens_per_step']} tokens a step"


def _described(subject: Subject, model: Model) -> dict[str, Any]:
    text, grid = model.text_config, subject.canvas.grid
    return {
        "family": model.family,
        "parameters": sum(parameter.numel() for parameter in model.hf.parameters()),
        "weights_bytes": sum(parameter.nbytes for parameter in model.hf.parameters()),
        "layers": text.num_hidden_layers,
        "hidden_size": text.hidden_size,
        "vocabulary": text.vocab_size,
        "dtype": str(model.hf.dtype).removeprefix("torch."),
        "frame": list(subject.frame),
        "grid": [grid.height, grid.width],
        "tokens_per_step": subject.step_tokens,
        "frames_per_step": model.frames_per_step,
        "default_positions": model.default_positions,
        "position_limit": model.position_limit,
        "memory_by": Meter(subject.device).kind,
    }


def _reason(error: Exception) -> str:
    """One line; the traceback of what nobody foresaw goes to standard error."""
    if isinstance(error, TimeUp):
        return "no time left"
    if out_of_memory(error):
        return "out of memory"
    if not isinstance(error, UserError):
        traceback.print_exception(error, file=sys.stderr)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{'refused' if isinstance(error, UserError) else 'failed'}: {type(error).__name__}: {first}"
