"""One command for both halves: what is done is kept in a folder, a part a file, and not done again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.day.keys import LAYERS_OF_MODEL
from infinipot_v.evaluate.day.questions import Day, correct
from infinipot_v.evaluate.day.reopened import PROBE, reopen
from infinipot_v.evaluate.day.watching import guess, watch
from infinipot_v.models.base import Model
from infinipot_v.session import Session

MEMORY_STEPS = 64
"""|M| of the half with answers, in steps: 1,024 tokens."""
Told = Callable[[str], None]


@dataclass(frozen=True)
class Scale:
    """How much of a day: `steps` of two seconds, the `seeds` of the half with answers, and for the half with keys the
    `layers` of a 7B model's, and the bytes that a growing cache may take before it has failed.

    Those are such that it fails when it would on a GPU of 80 GB, which 16.6 GB of weights leave 63.4 GB of. To append
    to a tensor it is copied, which takes half a layer more for a while: of a few layers, a larger part than of all.
    """

    steps: int = 43_200
    seeds: tuple[int, ...] = (1_000_000,)
    layers: int = 2
    stops: int = 288

    @property
    def limit(self) -> int:
        """Bytes for the growing cache."""
        held = (80e9 - 16.6e9) / (1 + 0.5 / LAYERS_OF_MODEL)
        return int(held * (self.layers + 0.5) / LAYERS_OF_MODEL)


def run(out: Path, scale: Scale, model: Model, told: Told = lambda line: None) -> None:
    """Fill `out` with what it lacks: `capped.json`, `growing.json`, and for every seed its answers and its memory.

    Ctrl-C loses the part that runs; a part is a cache, or a seed (about half an hour of one core for 24 hours).
    """
    out.mkdir(parents=True, exist_ok=True)
    for which in ("capped", "growing"):
        _once(out / f"{which}-{scale.steps}.json", lambda which=which: _points(which, scale, told))  # type: ignore[misc]
    for seed in scale.seeds:
        _once(out / f"day-{seed}-{scale.steps}.json", lambda seed=seed: _day(out, seed, scale, model, told))  # type: ignore[misc]


def _once(path: Path, make: Callable[[], Any]) -> None:
    """Make what a file is to hold, unless it is there; half a file is never found."""
    if path.exists():
        return
    content = json.dumps(make(), indent=1) + "\n"
    fresh = path.with_suffix(".new")
    fresh.write_text(content, encoding="utf-8")
    fresh.replace(path)


def _points(which: str, scale: Scale, told: Told) -> list[Any]:
    """Bytes along the day, of one cache in a process of its own."""
    numbers = map(str, (scale.layers, scale.steps, scale.stops, scale.limit))
    command = [sys.executable, "-m", "infinipot_v.evaluate.day.keys", which, *numbers]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as child:
        assert child.stdout is not None
        for line in child.stdout:
            found.append(json.loads(line))
            told(f"{which} keys, {found[-1]['seconds'] / 3600:.1f} h")
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return found


def _day(out: Path, seed: int, scale: Scale, model: Model, told: Told) -> dict[str, Any]:
    """One day watched, saved, opened again in a new process, and asked."""
    day, answers, weights = Day(seed, scale.steps), list[dict[str, Any]](), list[dict[str, Any]]()

    def weighed(weight: Any) -> None:
        weights.append(asdict(weight))
        told(f"seed {seed}, {weight.seconds / 3600:.1f} h, {len(answers)} answers")

    guess(day, model, answers.append)
    session = watch(day, model, MEMORY_STEPS, answered=answers.append, weighed=weighed)
    told(f"seed {seed}, a new process opens the memory")
    return {
        "seed": seed, "steps": scale.steps, "things": len(day.stream.scene.things), "answers": answers,
        "weights": weights, "reopened": reopened(day, session, model, out / f"day-{seed}.ivm.safetensors"),
    }  # fmt: skip


def reopened(day: Day, session: Session, model: Model, path: Path) -> dict[str, Any]:
    """What is asked at the day's end: of the session that has watched, and of its file in a new process."""
    questions = [asked.text for asked in day.last]
    here = [session.ask(question, remember=False).text for question in questions]
    probes = [session.ask(PROBE, remember=False).text for _ in range(2)]
    size = session.save(path)
    there = reopen(path, model.name, questions)
    return {
        "file_bytes": size, "open_seconds": there["seconds"], "n": len(questions),
        "same_answers": here == there["answers"], "probe": PROBE, "probes": [*probes, *there["probes"]],
        "correct": sum(correct(asked, reply) for asked, reply in zip(day.last, there["answers"], strict=True)),
        "report": there["report"],
    }  # fmt: skip


def read(out: Path, scale: Scale) -> dict[str, Any]:
    """All that a finished run has left: `capped`, `growing`, `days`."""

    def content(name: str) -> Any:
        return json.loads((out / f"{name}-{scale.steps}.json").read_text(encoding="utf-8"))

    return {"capped": content("capped"), "growing": content("growing"),
            "days": [content(f"day-{seed}") for seed in scale.seeds]}  # fmt: skip


def answers_of(days: Iterable[dict[str, Any]], contender: str) -> Sequence[dict[str, Any]]:
    """All answers of a contender."""
    return [answer for day in days for answer in day["answers"] if answer["contender"] == contender]
