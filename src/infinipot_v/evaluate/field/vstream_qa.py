"""VStream-QA (arXiv 2406.08085): free answers about clips (VS), and at moments of a running video (RVS).

The official run gives every question a clip of its own. A clip of the realtime sets begins at 0 where the original
does, so where the original is there it is watched once, and asked when it comes to the clip's end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field.base import Pair
from infinipot_v.evaluate.field.footage import Clip
from infinipot_v.evaluate.field.open_ended import OpenEnded

SETS = {
    "VS-Ego": ("vstream", "test_qa_ego4d.json", "ego4d", "vs_ego.json"),
    "VS-Movie": ("vstream", "test_qa_movienet.json", "movienet", "vs_movie.json"),
    "RVS-Ego": ("vstream-realtime", "test_qa_ego4d.json", "ego4d", "rvs_ego.json"),
    "RVS-Movie": ("vstream-realtime", "test_qa_movienet.json", "movienet", "rvs_movie.json"),
}


class VStreamQA(OpenEnded):
    """Four sets of questions; those that are there are read. The kind is the answer's type, the group the set."""

    name = "vstream-qa"
    layout: ClassVar[str] = "vstream/ and vstream-realtime/ with test_qa_*.json, cut lists, and videos or frames"
    annotations: ClassVar[tuple[str, ...]] = ("|".join(f"{folder}/{file}" for folder, file, _, _ in SETS.values()),)

    def records(self) -> Iterable[tuple[str, Any]]:
        """Questions by their id, each with its line of the cut list where there is one."""
        self._files = []
        for group, (folder, file, films, cuts) in SETS.items():
            path = self.data / folder / file
            if not path.is_file():
                self.leave_file(path)
                continue
            cut = self._cuts(folder, cuts)
            self._files.append(path)
            for name, row in self.rows(len(self._files) - 1, what=group):
                yield name, (group, folder, films, row, cut)

    def _cuts(self, folder: str, name: str) -> dict[str, Any]:
        """Lines of a cut list by their clip."""
        path = self.data / folder / name
        if not path.is_file():
            return {}
        self._files.append(path)
        rows = [row for _, row in self.rows(len(self._files) - 1)]
        return {f"{row['video_id']}": row for row in rows if isinstance(row, dict) and "video_id" in row}

    def pairs(self, record: Any) -> Iterable[Pair]:
        """One question."""
        group, folder, films, row, cut = record
        clip, at = self._place(folder, films, {**cut.get(f"{row['video_id']}", {}), **row})
        kind = f"{row.get('answer_type', 'open')}"
        asked = Asked(row["question"], row["answer"], kind, at, group=group, identity=f"{group} {row['id']}")
        return [(clip, asked)]

    def _place(self, folder: str, films: str, row: dict[str, Any]) -> tuple[Clip, float | None]:
        """The clip's own file or frames, or else its stretch of the original; and when it is asked."""
        own = f"{row['video_id']}"
        names = [f"{folder}/{films}_frames{end}/{own}" for end in ("_online", "")]
        names += [f"{folder}/{place}{own}.mp4" for place in ("videos/", f"{films}_videos/", "")]
        original = row.get("original_video", row.get("video_name"))
        begin, end = row.get("start_time"), row.get("end_time")
        if original is None or begin is None or end is None:
            return self.clip(*names), None
        whole = [f"{place}/{original}.mp4" for place in (f"{films}_videos", "videos", f"{folder}/videos")]
        if folder.endswith("realtime") and float(begin) == 0 and self.clip(*whole).exists:
            return self.clip(*whole), max(0.1, float(end))
        if self.clip(*names).exists or not self.clip(*whole).exists:
            return self.clip(*names), None
        return self.clip(*whole, start=float(begin), end=float(end)), None
