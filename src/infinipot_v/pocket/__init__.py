"""A pocket-sized world of camera streams with full ground truth, and the model that knows it."""

from __future__ import annotations

from infinipot_v.pocket.build import CHECKPOINT
from infinipot_v.pocket.questions import QUESTION_KINDS, Question
from infinipot_v.pocket.seeds import DEV, TEST, TRAIN, split_of
from infinipot_v.pocket.stream import FPS, Stream, make_stream
from infinipot_v.pocket.version import pocket_version

__all__ = [
    "CHECKPOINT",
    "DEV",
    "FPS",
    "QUESTION_KINDS",
    "TEST",
    "TRAIN",
    "Question",
    "Stream",
    "make_stream",
    "pocket_version",
    "split_of",
]
