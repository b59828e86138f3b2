"""A real file, watched as users watch it: frames decoded when they are asked for, and in a thread ahead. Wall clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.subject import Subject
from infinipot_v.bench.timing import interleaved, now
from infinipot_v.session import Session
from infinipot_v.sources import open_source
from infinipot_v.sources.ahead import FRAMES
from infinipot_v.types import Frame

WAYS = {"decoded-when-asked": 0, "decoded-ahead": FRAMES}
"""How many frames may be decoded ahead."""
REPEATS = 5
"""At most: every one watches as many steps as are timed one by one."""

HOW = (
    "with --video, wall clock of the whole: the first steps of the file are opened, watched and closed, in turns with "
    "and without a thread that decodes ahead; no part is timed, nothing is left over from one turn for the next, and "
    "nothing is decoded that is not watched"
)


def measure(subject: Subject, notebook: Notebook, sessions: Mapping[str, Session]) -> None:
    """Times real time of each of `WAYS`, in the session of that name; those have the same to do."""
    assert subject.footage is not None
    turns = {way: Turn(subject, sessions[way], ahead) for way, ahead in WAYS.items()}
    interleaved(turns, 1)
    found = interleaved(turns, min(REPEATS, subject.sizes.repeats))
    for way, ahead in WAYS.items():
        note = f"{turns[way].frames} frames at {subject.footage.fps:g} fps a turn, {ahead} decoded ahead"
        notebook.row(way, found[way], "x", note)
    notebook.ratio("decoded-ahead over decoded-when-asked", found["decoded-ahead"], found["decoded-when-asked"])


class Turn:
    """One turn a call: how many times as fast as it was filmed. `frames` is how many frames the last one watched.

    A session may have been filled by a stand-in; here it watches with the model itself.
    """

    def __init__(self, subject: Subject, session: Session, ahead: int) -> None:
        session.model = subject.model
        self._subject, self._session, self._ahead = subject, session, ahead
        self.frames = 0

    def __call__(self) -> float:
        """Raises `TimeUp`."""
        self._subject.deadline.check()
        assert self._subject.footage is not None
        before, began = self._session.report().frames, now(self._subject.device)
        self._session.watch(self._shown())
        took = now(self._subject.device) - began
        self.frames = self._session.report().frames - before
        return self.frames / self._subject.footage.fps / took

    def _shown(self) -> Iterator[Frame]:
        """The file's first frames, behind what the session has seen; it is closed behind the last one."""
        footage, passed = self._subject.footage, self._session.newest + 1.0
        assert footage is not None
        seconds = self._subject.sizes.steps * self._subject.model.frames_per_step / footage.fps
        with open_source(footage.path, fps=footage.fps, end=seconds, ahead=self._ahead) as source:
            for frame in source:
                yield Frame(frame.pixels, passed + frame.seconds)
