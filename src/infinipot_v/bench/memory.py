"""What a stream costs in memory, as it grows: ours, the full cache through our code, and plain Hugging Face."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from infinipot_v.bench.feeding import Feed, imagined
from infinipot_v.bench.meter import Meter, fits
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.subject import Subject
from infinipot_v.session import Session
from infinipot_v.types import Block, Grid


@dataclass
class Scales:
    """Weighs contenders after so many tokens seen. The first one named is what the others are compared with."""

    notebook: Notebook
    meter: Meter
    weights: float
    first: str = ""
    peaks: dict[int, float] = field(default_factory=dict)

    def weigh(self, name: str, seen: int) -> None:
        """Write held and peak bytes, and the peak's ratio to the first contender's, weights left out."""
        what = f"{name}/{label(seen)}"
        self.notebook.row(f"{what}/held", [float(self.meter.held)], "B")
        peak = self.notebook.row(f"{what}/peak", [float(self.meter.peak)], "B")[0]
        self.first = self.first or name
        if name == self.first:
            self.peaks[seen] = peak
        elif seen in self.peaks and self.meter.kind == "allocator":  # a resident set never shrinks
            over, under = [peak - self.weights], [self.peaks[seen] - self.weights]
            self.notebook.ratio(f"{label(seen)}, peak of {name} over {self.first} without weights", over, under)

    def missing(self, name: str, seen: int) -> None:
        """Write that there was not enough memory."""
        self.notebook.missing(f"{name}/{label(seen)}/peak", "B", "out of memory")


def measure(subject: Subject, notebook: Notebook) -> None:
    """Held and peak bytes after so many tokens seen; running out of memory is a result.

    Pictures are random embeddings, so what is compared is the language model's memory. Weights are in every figure;
    ratios are without them. The half budget is not run to the end, which would take long and show nothing more.
    """
    meter, sizes = Meter(subject.device), subject.sizes
    meter.restart()
    weights = float(meter.held)
    notebook.row("weights", [weights], "B", meter.kind)
    scales = Scales(notebook, meter, weights)
    _streamed(subject, scales, f"ours-{sizes.budget}", "infinipot-v", sizes.budget, sizes.seen)
    _one_shots(subject, scales, "one-shot-last-logits", 1)
    _streamed(subject, scales, "full", "full", full_tokens(sizes.seen), sizes.seen)
    _one_shots(subject, scales, "one-shot-all-logits", 0)
    _streamed(subject, scales, f"ours-{sizes.half}", "infinipot-v", sizes.half, sizes.seen[:-1])


def full_tokens(seen: tuple[int, ...]) -> int:
    """Slots for the full cache to start with, so that its doublings end near the last number of tokens seen."""
    last = seen[-1]
    while last // 2 >= seen[0]:
        last = -(-last // 2)
    return last + 1


def label(tokens: int) -> str:
    """5000 as `5K`."""
    return f"{tokens // 1000}K" if tokens % 1000 == 0 else str(tokens)


def _streamed(subject: Subject, scales: Scales, name: str, policy: str, tokens: int, stops: tuple[int, ...]) -> None:
    scales.meter.restart()
    session = fits(partial(subject.session, policy, tokens, model=imagined(subject.model)), subject.device)
    feed = session and Feed(subject, session)
    for seen in stops:
        if not (session and feed and _seen(feed, seen, subject)):
            scales.missing(name, seen)
            continue
        scales.weigh(name, seen)
        nbytes, held = float(session.report().nbytes), _held(session)
        scales.notebook.row(f"{name}/{label(seen)}/nbytes", [nbytes], "B", held)
    if session and session.cache.policy.bounded:
        scales.notebook.row(f"{name}/cap_bytes", [float(session.report().cap_bytes)], "B", "the promise")


def _seen(feed: Feed, tokens: int, subject: Subject) -> bool:
    """Whether the memory was enough."""

    def watch() -> bool:
        feed.until(tokens)
        return True

    return bool(fits(watch, subject.device))


def _held(session: Session) -> str:
    report = session.report()
    return f"{report.seen_tokens} tokens seen, {report.held_tokens} held, {report.compressions} compactions"


def _one_shots(subject: Subject, scales: Scales, name: str, logits: int) -> None:
    for seen in subject.sizes.seen:
        subject.deadline.check()
        scales.meter.restart()
        output = fits(partial(_forward, subject, seen, logits), subject.device)
        if output is None:
            scales.missing(name, seen)
        else:
            scales.weigh(name, seen)
        del output


@torch.no_grad()
def _forward(subject: Subject, tokens: int, logits: int) -> Any:
    """One stock forward over random embeddings of whole steps, with a cache and `logits` tokens' logits (0: all)."""
    hf, device = subject.model.hf, subject.device
    positions = _positions(subject, tokens).to(device)
    count = positions.shape[-1]
    embeddings = torch.randn(1, count, subject.model.text_config.hidden_size, device=device, dtype=hf.dtype)
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
