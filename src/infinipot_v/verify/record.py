"""The record of a verification, made to be sent: what was checked, on what, by which versions, and what was found."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from infinipot_v.survey.machine import versions
from infinipot_v.verify.finding import Finding
from infinipot_v.verify.subject import Subject

FORMAT = 1


@dataclass(frozen=True)
class Occasion:
    """What is not of the checks: who ran them (None: not said), on which video, and how long all of it took."""

    by: str | None
    video: str
    seconds: float


def passed(findings: Sequence[Finding]) -> bool:
    """Whether no check failed. One that could not be made does not count, and is listed."""
    return all(finding.passed is not False for finding in findings)


def record_of(subject: Subject, findings: Sequence[Finding], occasion: Occasion) -> dict[str, Any]:
    """The record as JSON has it. Names no folder of the machine that it was made on."""
    hf = subject.model.hf
    return {
        "format": FORMAT,
        "passed": passed(findings),
        "family": subject.model.family,
        "checkpoint": subject.files.title,
        "config_sha256": subject.files.config_hash,
        "numbers": sum(parameter.numel() for parameter in hf.parameters()),
        "quantised": bool(getattr(hf, "is_quantized", False)),
        "dtype": str(hf.dtype).removeprefix("torch."),
        "device": _device(subject.model.device),
        "attention": hf.config.get_text_config(decoder=True)._attn_implementation,
        "positions": subject.model.default_positions,
        "versions": versions(),
        "settings": _settings(subject, occasion),
        "by": occasion.by,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seconds": round(occasion.seconds, 1),
        "checks": [_plain(finding, subject) for finding in findings],
    }


def _settings(subject: Subject, occasion: Occasion) -> dict[str, Any]:
    canvas = subject.canvas
    return {
        "video": occasion.video,
        "frames": len(subject.video),
        "fps": subject.fps,
        "pixels": list(canvas.pixels),
        "grid": [canvas.grid.height, canvas.grid.width],
        "steps_compared": subject.steps,
        "question": subject.question,
    }


def _plain(finding: Finding, subject: Subject) -> dict[str, Any]:
    """A finding without the folder that the checkpoint lies in."""
    content = asdict(finding)
    return {**content, "detail": finding.detail.replace(subject.files.place, subject.files.title)}


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
