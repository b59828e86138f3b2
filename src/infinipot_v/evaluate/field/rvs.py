"""RVS-Ego and RVS-Movie (arXiv 2406.08085): free answers at moments of half an hour to an hour of video."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import Pair
from infinipot_v.evaluate.field.open_ended import OpenEnded


class RVS(OpenEnded):
    """A question is asked when the stream comes to its `end_time`; the memory goes on through the conversation."""

    folder: ClassVar[str]

    def records(self) -> Iterable[tuple[str, Any]]:
        """Conversations, by their video."""
        return self.rows(key="video_id", what="video")

    def pairs(self, record: Any) -> Iterable[Pair]:
        """The questions of one video."""
        path, name = record["video_path"], f"{record['video_id']}"
        last = path.replace("\\", "/").rpartition("/")[2]
        clip = self.clip(
            f"{self.folder}/videos/{last}",
            f"{self.folder}/videos/{name}.mp4",
            path.removeprefix("./"),
            f"videos/{last}",
        )
        return [
            (
                clip,
                Asked(
                    one["question"], one["answer"], self.name, max(0.1, float(one["end_time"])),
                    identity=f"{name} {index}",
                ),
            )
            for index, one in enumerate(record["conversations"])
        ]  # fmt: skip


class RVSEgo(RVS):
    """Ten videos of Ego4D of about an hour, 1,465 questions."""

    name = "rvs-ego"
    folder = "ego"
    layout: ClassVar[str] = "ego/ego4d_oe.json and ego/videos/<video>.mp4"
    annotations: ClassVar[tuple[str, ...]] = ("ego/ego4d_oe.json|ego4d_oe.json",)


class RVSMovie(RVS):
    """22 films of MovieNet of about half an hour, 1,905 questions."""

    name = "rvs-movie"
    folder = "movie"
    layout: ClassVar[str] = "movie/movienet_oe.json and movie/videos/<video>.mp4"
    annotations: ClassVar[tuple[str, ...]] = ("movie/movienet_oe.json|movienet_oe.json",)
