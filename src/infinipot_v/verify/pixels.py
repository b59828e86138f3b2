"""What enters the vision tower: the adapter's pixels against slow arithmetic and against the checkpoint's processor."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from infinipot_v.verify.finding import Finding, within
from infinipot_v.verify.plain import slow_inputs
from infinipot_v.verify.recording import recording
from infinipot_v.verify.subject import Subject

EXACT, HALF, FILTERS = 0.02, 1.2, 2.1
"""Grey levels: rounding in float32; one bit of bfloat16 at 2.6; one level more or less in each of two filters."""

COLOURS = ("red", "green", "blue")


def same_size(subject: Subject) -> Finding:
    """Pictures that need no resizing: rescaling, mean, deviation and the cutting into patches."""
    ours, theirs = subject.streamed.pictures, subject.plain.pictures
    return _compared("pixels", subject, ours, theirs, EXACT, "the checkpoint's JSON files and numpy")


def resized(subject: Subject) -> Finding:
    """Pictures of another size: the filter too, against PIL's."""
    frames = subject.video[: subject.model.frames_per_step]
    canvas = subject.canvas_of(*frames[0].pixels.shape[:2])
    with recording(subject.model.hf) as record:
        subject.model.encode(frames, canvas, 0)
    plain = subject.run_plain(slow_inputs(subject.model.family, replace(subject.shown(frames, canvas), by_pil=True)))
    return _compared("pixels resized", subject, record.pictures, plain.pictures, FILTERS, "PIL")


def by_the_processor(subject: Subject) -> Finding:
    """Against the checkpoint's own processor, where it loads."""
    theirs = subject.run_plain(subject.processed).pictures
    ours = subject.streamed.pictures
    return _compared("pixels by the processor", subject, ours, theirs, EXACT, "the checkpoint's own processor")


def _compared(name: str, subject: Subject, ours: Tensor, theirs: Tensor, slack: float, source: str) -> Finding:
    if ours.shape != theirs.shape:
        wrong = f"{tuple(ours.shape)} enters the vision tower, by {source} it is {tuple(theirs.shape)}"
        return Finding(name, False, None, None, wrong)
    tolerance = slack + (HALF if subject.streamed.entered[0].dtype != torch.float32 else 0.0)
    apart = (ours - theirs) * _levels(subject, ours)
    drift = float(_offsets(apart).abs().max())
    if drift > tolerance / 8:
        return Finding(name, False, drift, tolerance / 8, f"{_drift(apart)}, by {source}")
    figure = float(apart.abs().max())
    wrong = "" if figure <= tolerance else f"{_culprit(apart, tolerance)}: up to {figure:.2f} grey levels from {source}"
    return within(name, figure, tolerance, wrong, f"at most {figure:.3f} grey levels from {source}")


def _offsets(apart: Tensor) -> Tensor:
    """The mean difference, of each colour where the second axis is one."""
    return apart.transpose(0, 1).flatten(1).mean(1) if apart.shape[1] == 3 else apart.mean()[None]


def _drift(apart: Tensor) -> str:
    offsets = _offsets(apart)
    worst = int(offsets.abs().argmax())
    where = COLOURS[worst] if len(offsets) == 3 else "brightness"
    rest = float((apart - offsets.view(1, -1, *[1] * (apart.dim() - 2))).abs().mean())
    if rest < abs(float(offsets[worst])):
        return f"{where} is {offsets[worst]:+.2f} grey levels off everywhere: a wrong mean, deviation or scale"
    return f"pictures differ by {rest:.1f} grey levels on average: another order, other colours or another size"


def _levels(subject: Subject, pictures: Tensor) -> Tensor:
    """Grey levels of one unit of what enters, by colour where the second axis is one."""
    deviations = subject.shown(subject.frames).numbers(image_std=(0.5, 0.5, 0.5))["image_std"]
    levels = torch.tensor(deviations, device=pictures.device) * 255
    return levels.view(-1, *[1] * (pictures.dim() - 2)) if pictures.shape[1] == 3 else levels.mean()


def _culprit(apart: Tensor, tolerance: float) -> str:
    wrong = (apart.abs() > tolerance).flatten(1).any(1)
    share = float(wrong.float().mean())
    if share > 0.9:
        return "patches or pictures are in another order, or stretched otherwise"
    return f"{share:.0%} of the pictures' parts differ, the first is number {int(wrong.nonzero()[0])}"
