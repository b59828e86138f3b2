"""What a stream costs in memory, as it grows: ours, the full cache through our code, and plain Hugging Face twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from infinipot_v.bench.feeding import Feed, imagined
from infinipot_v.bench.meter import Meter, fits
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.plain import stock
from infinipot_v.bench.plain_session import PlainSession
from infinipot_v.bench.subject import Sizes, Subject
from infinipot_v.session import Session
from infinipot_v.types import Block, Grid

HOW = (
    "random embeddings stand for pictures; held and peak include the weights; one-shot: one stock forward over all "
    "tokens; chunked: a stock model with its own cache, in blocks; `full` runs in blocks, too, and doubles its slots "
    "as it grows; streams make no logits. On a CPU PyTorch copies the whole output matrix for the last logits of many "
    "tokens (a strided slice of one batch), which is in the peak of one-shot-last-logits"
)


@dataclass(frozen=True)
class Contender:
    """Who is weighed, and after how many tokens seen.

    `kind` is `ours` (|M| = `tokens`), `full` (through our code, `tokens` slots to begin with), `chunked` or `one-shot`
    (plain Hugging Face; `tokens` are those whose logits it makes, 0 for all).
    """

    name: str
    kind: str
    tokens: int
    stops: tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """Bytes after `seen` tokens: taken now, and at most until now; of the memory alone where it can be asked.

    Without figures, there was not enough memory.
    """

    seen: int
    held: int = 0
    peak: int = 0
    nbytes: int | None = None
    note: str = ""
    cap_bytes: int | None = None


def contenders(sizes: Sizes, last: int | None = None) -> tuple[Contender, ...]:
    """Ours first, with which the others are compared. Smaller budgets than the first are seen to the `last` stop."""
    stops = sizes.seen
    first, *others = (f"ours-{budget}" for budget in sizes.budgets)
    return (
        Contender(first, "ours", sizes.budget, stops),
        Contender("one-shot-last-logits", "one-shot", 1, stops),
        Contender("chunked", "chunked", 0, stops),
        Contender("full", "full", full_tokens(stops), stops),
        Contender("one-shot-all-logits", "one-shot", 0, stops),
        *(Contender(name, "ours", budget, stops[:last])
          for name, budget in zip(others, sizes.budgets[1:], strict=True)),
    )  # fmt: skip


def full_tokens(seen: tuple[int, ...]) -> int:
    """Slots for the full cache to start with, so that its doublings end near the last number of tokens seen."""
    last = seen[-1]
    while last // 2 >= seen[0]:
        last = -(-last // 2)
    return last + 1


def label(tokens: int) -> str:
    """5000 as `5K`."""
    return f"{tokens // 1000}K" if tokens % 1000 == 0 else str(tokens)


def measure(subject: Subject, notebook: Notebook) -> None:
    """Held and peak bytes of all contenders in this process; running out of memory is a result.

    Peaks of a resident set are not compared here: what one contender has freed, the next finds resident.
    The smaller budgets are not run to the end, which would take long and show nothing more.
    """
    meter = Meter(subject.device)
    meter.restart()
    weights = meter.held
    notebook.row("weights", [float(weights)], "B", meter.kind)
    scales = Scales(notebook, compared=meter.kind == "allocator")
    for contender in contenders(subject.sizes, last=-1):
        for weight in weigh(subject, contender, meter):
            scales.write(contender, weight, weights)


@dataclass
class Scales:
    """Writes weights down. The first contender's peaks are what those of the others are `compared` with."""

    notebook: Notebook
    compared: bool = True
    first: str = ""
    peaks: dict[int, float] = field(default_factory=dict)

    def write(self, contender: Contender, weight: Weight, weights: int) -> None:
        """Held and peak bytes, and the peak's ratio to the first contender's, `weights` left out."""
        what = f"{contender.name}/{label(weight.seen)}"
        if not weight.peak:
            self.notebook.missing(f"{what}/peak", "B", weight.note or "out of memory")
            return
        self.notebook.row(f"{what}/held", [float(weight.held)], "B")
        self.notebook.row(f"{what}/peak", [float(weight.peak)], "B")
        if weight.nbytes is not None:
            self.notebook.row(f"{what}/nbytes", [float(weight.nbytes)], "B", weight.note)
        if weight.cap_bytes is not None and weight.seen == contender.stops[-1]:
            self.notebook.row(f"{contender.name}/cap_bytes", [float(weight.cap_bytes)], "B", "the promise")
        self._compare(contender.name, weight.seen, float(weight.peak - weights))

    def _compare(self, name: str, seen: int, peak: float) -> None:
        self.first = self.first or name
        if name == self.first:
            self.peaks[seen] = peak
        elif seen in self.peaks and self.compared:
            what = f"{label(seen)}, peak of {name} over {self.first} without weights"
            self.notebook.ratio(what, [peak], [self.peaks[seen]])


def weigh(subject: Subject, contender: Contender, meter: Meter) -> Iterator[Weight]:
    """The weights of a contender at its stops."""
    if contender.kind == "one-shot":
        return _one_shots(subject, contender, meter)
    return _streamed(subject, contender, meter)


def _streamed(subject: Subject, contender: Contender, meter: Meter) -> Iterator[Weight]:
    meter.restart()
    session = fits(partial(_session, subject, contender), subject.device)
    feed = session and Feed(subject, session)
    for seen in contender.stops:
        if not (session and feed and _seen(feed, seen, subject)):
            yield Weight(seen)
            continue
        report = session.report()
        note = f"{report.seen_tokens} tokens seen, {report.held_tokens} held, {report.compressions} compactions"
        cap = session.report().cap_bytes if isinstance(session, Session) and session.cache.policy.bounded else None
        yield Weight(seen, meter.held, meter.peak, report.nbytes, note, cap)


def _session(subject: Subject, contender: Contender) -> Session | PlainSession:
    model = imagined(subject.model)
    if contender.kind == "chunked":
        return PlainSession(subject, model)
    return subject.session("full" if contender.kind == "full" else "infinipot-v", contender.tokens, model=model)


def _seen(feed: Feed, tokens: int, subject: Subject) -> bool:
    """Whether the memory was enough."""

    def watch() -> bool:
        feed.until(tokens)
        return True

    return bool(fits(watch, subject.device))


def _one_shots(subject: Subject, contender: Contender, meter: Meter) -> Iterator[Weight]:
    for seen in contender.stops:
        subject.deadline.check()
        meter.restart()
        output = fits(partial(_forward, subject, seen, contender.tokens), subject.device)
        yield Weight(seen) if output is None else Weight(seen, meter.held, meter.peak)
        del output


@torch.no_grad()
def _forward(subject: Subject, tokens: int, logits: int) -> Any:
    """One stock forward over random embeddings of whole steps, with a cache and `logits` tokens' logits (0: all)."""
    hf, device = subject.model.hf, subject.device
    positions = _positions(subject, tokens).to(device)
    count = positions.shape[-1]
    embeddings = torch.randn(1, count, subject.model.text_config.hidden_size, device=device, dtype=hf.dtype)
    with stock(hf):
        output = hf(inputs_embeds=embeddings, position_ids=positions, use_cache=True, logits_to_keep=logits)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return output


def _positions(subject: Subject, tokens: int) -> torch.Tensor:
    """Where our own clock puts `tokens` tokens of vision."""
    grid: Grid = subject.canvas.grid
    steps = max(1, tokens // grid.tokens)
    clock = subject.model.clock(0, grid)
    block = Block(
        embeddings=torch.zeros(0),
        steps=torch.arange(steps).repeat_interleave(grid.tokens),
        cells=torch.arange(grid.tokens).repeat(steps),
        seconds=tuple(float(step * subject.model.frames_per_step) for step in range(steps)),
    )
    positions, _ = clock.place(block)
    return positions
