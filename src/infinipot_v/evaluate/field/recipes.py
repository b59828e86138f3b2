"""Recipes: frozen settings of a published evaluation, each with where it is stated. The numbers are in recipes.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

FILE = Path(__file__).with_name("recipes.toml")


@dataclass(frozen=True)
class Recipe:
    """How a benchmark is watched and asked, and where each value is stated (`sources`).

    `fps` frames a second; of a video that is watched whole, at most `frames` (a number, or one for each family, `*` for
    the others), evenly spread. `tokens_per_step`, `max_pixels`, `room` and `system` as in `Session`. `budget` is |M|
    and `policies` who takes part, where the command line says nothing. `last_frames` is what the control without a
    memory sees. `everything` runs questions without a public answer, too. `prompt` is which wording: `official`, or
    another that the benchmark's file names. `text_tokens` may be said with a step, by subtitles; 0: there are none.
    """

    name: str
    fps: float = 1.0
    frames: int | Mapping[str, int] | None = None
    tokens_per_step: int | None = None
    max_pixels: int | None = None
    room: int = 512
    system: str | None = None
    budget: str = "6144"
    policies: str = "infinipot-v,uniform,sliding-window,last-frames"
    max_new_tokens: int = 16
    last_frames: int = 4
    prompt: str = "official"
    everything: bool = False
    text_tokens: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)

    def frames_of(self, family: str) -> int | None:
        """Frames at most for a model family; None where there is no bound."""
        if not isinstance(self.frames, Mapping):
            return self.frames
        return self.frames.get(family, self.frames.get("*"))

    def as_json(self) -> dict[str, Any]:
        """All values, without their sources."""
        return {name: value for name, value in asdict(self).items() if name != "sources"}


@cache
def recipes() -> dict[str, Recipe]:
    """All recipes by name."""
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {name: _recipe(name, values) for name, values in content.items()}


def _recipe(name: str, values: Mapping[str, list[Any]]) -> Recipe:
    known = {one.name for one in fields(Recipe)} - {"name", "sources"}
    assert set(values) <= known, f"{name}: {set(values) - known}"
    pairs = {key: (value, source) for key, (value, source) in values.items()}
    given = {key: value for key, (value, _) in pairs.items()}
    return Recipe(name, **given, sources={key: source for key, (_, source) in pairs.items()})


def recipe_of(name: str | None, benchmark: str) -> Recipe:
    """The recipe of a name; of None the one of ours for the benchmark. Raises `UserError` for one that there is not."""
    family = benchmark.split("-")[0] if benchmark.startswith("rvs") else benchmark
    chosen = name or f"infinipot-v/{family}"
    if chosen not in recipes():
        there = ", ".join(recipes())
        raise UserError(f"unknown recipe {chosen!r}{did_you_mean(chosen, list(recipes()))}; there are: {there}")
    if family not in (chosen.partition("/")[2], chosen.partition("/")[2].rpartition("-")[0]):
        raise UserError(f"the recipe {chosen} is not for {benchmark}: choose infinipot-v/{family}")
    return recipes()[chosen]
