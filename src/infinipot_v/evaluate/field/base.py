"""What the benchmarks of the field share: a folder in the official layout becomes videos with timed questions.

A benchmark's own file says how its records are read, what the model is asked, and when a reply is right. A video is
watched once, whatever number of questions it has. What is missing or broken is left out by name, and counted.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked, Benchmark, BrokenVideo, Item, Manner
from infinipot_v.evaluate.field.footage import Clip, sampling, spoken_tokens
from infinipot_v.evaluate.field.recipes import Recipe
from infinipot_v.evaluate.field.tables import content_of
from infinipot_v.evaluate.records import Left, Record
from infinipot_v.generate import Decoding
from infinipot_v.models.base import Model
from infinipot_v.sources import Source
from infinipot_v.sources.captions import Cue, captioned
from infinipot_v.types import Frame, UserError

Pair = tuple[Clip, Asked]
"""A question and the stretch of video that it is about."""


class FieldBenchmark(Benchmark):
    """A benchmark read from the folder `data`, watched as `recipe` says; `limit` stops after so many videos.

    Raises `UserError` when the folder is not in the official layout, and with `strict` for whatever would be left out.
    """

    layout: ClassVar[str]
    """What the folder holds, in a line, for whoever gave another."""
    annotations: ClassVar[tuple[str, ...]]
    """Files of the layout that hold records; the first that exists of each `|` is read."""
    streaming: ClassVar[bool] = False
    """Whether questions come on the way. If not, the whole video is watched first, in frames evenly spread."""
    subtitles: ClassVar[str] = ""
    """The folder of subtitles, where the layout has one."""
    judged: ClassVar[bool] = False
    """Whether a judge decides; until it has, no reply counts as right."""

    def __init__(self, data: Path, recipe: Recipe, *, limit: int | None = None, strict: bool = False) -> None:
        self.data, self.recipe, self.limit, self.strict = data, recipe, limit, strict
        self.forgiving = not strict
        self.left: list[Left] = []
        self._files = [self._annotation(names) for names in self.annotations]
        self._content: dict[Path, Any] = {}
        self._places: dict[str, int] = {}
        self._clips: dict[str, Clip] = {}
        self._source: Source | None = None
        self._items: tuple[Item, ...] | None = None

    @property
    def manner(self) -> Manner:  # type: ignore[override]
        """How it is watched, by the recipe."""
        recipe = self.recipe
        return Manner(
            recipe.tokens_per_step, recipe.max_pixels, recipe.room, recipe.system,
            Decoding(max_new_tokens=recipe.max_new_tokens), recipe.last_frames, recipe.text_tokens,
        )  # fmt: skip

    @property
    def settings(self) -> dict[str, object]:
        """The recipe, and a digest of the records that were read: the folder may move."""
        self.items()  # some find out there which files they read
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in self._files)).hexdigest()[:16]
        heard = {"subtitles": self._heard()} if self.recipe.text_tokens else {}
        recipe = self.recipe.as_json()
        return {"benchmark": self.name, "records": digest, "limit": self.limit, "recipe": recipe, **heard}

    def _heard(self) -> dict[str, object]:
        """How many files of subtitles there are, and a digest of their names and sizes."""
        files = sorted(path for path in (self.data / self.subtitles).glob("*") if path.is_file())
        listing = "\n".join(f"{path.name} {path.stat().st_size}" for path in files)
        return {"files": len(files), "digest": hashlib.sha256(listing.encode(errors="replace")).hexdigest()[:16]}

    def _annotation(self, names: str) -> Path:
        found = [path for name in names.split("|") for path in sorted(self.data.glob(name)) if path.is_file()]
        if not found:
            raise UserError(
                f"{self.data} is not {self.name}: no {names.replace('|', ', nor ')}; it holds {self.layout}"
            )
        return found[0]

    # Reading -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def records(self) -> Iterable[tuple[str, Any]]:
        """All records with the names under which they are spoken of."""

    @abstractmethod
    def pairs(self, record: Any) -> Iterable[Pair]:
        """The questions of one record; a missing or wrong field may raise what it raises."""

    def rows(self, index: int = 0, key: str = "id", what: str = "record") -> Iterator[tuple[str, Any]]:
        """The records of one of the `annotations`, by what they have under `key`, or else by their place.

        Raises `UserError` for a file that is no list.
        """
        content = self.content(index)
        if not isinstance(content, list):
            raise UserError(f"{self._files[index]} is no list of records: download it again")
        for place, row in enumerate(content):
            yield f"{what} {row.get(key, place) if isinstance(row, dict) else place}", row

    def content(self, index: int = 0) -> Any:
        """The content of one of the `annotations`. Raises `UserError` for a file that cannot be read."""
        path = self._files[index]
        if path not in self._content:
            self._content[path] = content_of(path)
        return self._content[path]

    def items(self) -> Sequence[Item]:
        """One item a video that is there, in the order of its first question; its questions in order of time."""
        if self._items is None:
            self._items = tuple(self._read())
        return self._items

    def clip_of(self, item: Item) -> Clip:
        """The stretch of video that an item is about."""
        return self._clips[item.name]

    def place(self, item: Item) -> int:
        """The number of an item among all videos of the benchmark, those that are missing included."""
        return self._places[item.name]

    def _read(self) -> Iterator[Item]:
        asked: dict[str, list[Asked]] = {}
        for name, record in self.records():
            for clip, one in self._pairs_of(name, record):
                self._clips.setdefault(clip.name, clip)
                asked.setdefault(clip.name, []).append(one)
        given = 0
        self._places = {name: place for place, name in enumerate(asked)}
        for name, questions in asked.items():
            if given == self.limit:
                break
            if not self._clips[name].exists:
                self.leave(Left(name, "the video is missing", len(questions)))
                continue
            given += 1
            yield Item(name, 0, 0, tuple(sorted(questions, key=lambda one: float("inf") if one.at is None else one.at)))

    def _pairs_of(self, name: str, record: Any) -> list[Pair]:
        try:
            return list(self.pairs(record))
        except KeyError as error:
            self.leave(Left(name, f"the field {error} is missing"))
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            self.leave(Left(name, f"a field cannot be read ({error})"))
        return []

    def leave(self, left: Left) -> Left:
        """Go on without it, unless nothing may be left out."""
        if self.strict:
            raise UserError(f"{left.what}: {left.why}; without --strict it is left out and counted")
        self.left.append(left)
        return left

    def leave_file(self, path: Path) -> None:
        """Go on without a file of records."""
        self.leave(Left(path.name, "the file of records is missing", 0))

    def leave_item(self, item: Item, error: BrokenVideo) -> Left:
        """Go on without an item whose video is broken."""
        return self.leave(Left(item.name, str(error), len(item.questions), tried=True))

    def clip(self, *candidates: str, start: float | None = None, end: float | None = None) -> Clip:
        """The video at the first of the paths, relative to the folder, that exists; the first of all if none does."""
        paths = [self.data / name for name in candidates]
        path = next((path for path in paths if path.exists()), paths[0])
        cut = "" if start is None and end is None else f"@{start or 0:g}-{end or 0:g}"
        return Clip(f"{path.relative_to(self.data)}{cut}", path, start, end)

    # Watching ------------------------------------------------------------------------------------------------------

    def sized(self, item: Item, model: Model) -> Item:
        """The tokens of its frames in a full cache; raises `BrokenVideo` where it cannot be opened."""
        clip = self._clips[item.name]
        seconds = clip.seconds()
        rate, frames = sampling(self.recipe, model.family, seconds, not self.streaming)
        step = model.most_step_tokens(self.recipe.tokens_per_step)
        steps = -(-(frames + 1) // model.frames_per_step)
        self._clips[item.name] = replace(clip, rate=rate)
        item, most = replace(item, seconds=round(seconds, 3)), self.recipe.text_tokens
        said = min(steps * most, sum(spoken_tokens(model, cue) for cue in self._said(item)))
        return replace(item, tokens=steps * step + said, step_tokens=step + most)

    @contextmanager
    def frames(self, item: Item) -> Iterator[Iterator[Frame]]:
        """Decode the video at the recipe's rate, with what is said; times count from the clip's start."""
        with self._clips[item.name].frames() as (frames, self._source):
            cues = self._said(item)
            yield captioned(frames, cues, shown=True) if cues else frames

    def _said(self, item: Item) -> list[Cue]:
        return self.cues(item) if self.recipe.text_tokens else []

    def cues(self, item: Item) -> list[Cue]:
        """What is said in the video, in its time. Raises `BrokenVideo` where that cannot be read."""
        raise UserError(f"{self.name} has no subtitles: take a recipe without them")

    def damage(self, item: Item) -> str:
        """Of the video that is being watched."""
        return (self._source.damage or "") if self._source is not None else ""

    # Scoring -------------------------------------------------------------------------------------------------------

    @classmethod
    def official(cls, records: Sequence[Record]) -> dict[str, float | None]:
        """The averages that the benchmark's own papers print, in percent; None where nothing was asked."""
        return {"overall": percent(records)}

    @classmethod
    def submission(cls, records: Sequence[Record]) -> Any:
        """What an official server takes of one contender, JSON-able; None where there is none, or nothing to say."""
        return None


def percent(records: Iterable[Record]) -> float | None:
    """Share of right replies in percent; None of none."""
    right = [record.correct for record in records]
    return 100 * sum(right) / len(right) if right else None


def mean(values: Iterable[float | None]) -> float | None:
    """Unweighted mean of those that are known; None of none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def by_kind(records: Iterable[Record]) -> dict[str, float | None]:
    """`percent` of every kind, in order of appearance."""
    kinds: dict[str, list[Record]] = {}
    for record in records:
        kinds.setdefault(record.kind, []).append(record)
    return {kind: percent(own) for kind, own in kinds.items()}
