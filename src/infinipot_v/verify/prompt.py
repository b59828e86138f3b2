"""Token ids: what a session embeds, piece by piece, against the whole prompt tokenised at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from infinipot_v.verify.finding import Finding, yes_or_no
from infinipot_v.verify.subject import Subject


def template_ids(subject: Subject) -> Finding:
    """The prompt by the checkpoint's chat template and the tokenizer, in one piece."""
    return _compared("prompt", subject, subject.inputs["input_ids"][0].tolist(), "the checkpoint's chat template")


def processor_ids(subject: Subject) -> Finding:
    """The prompt by the checkpoint's own processor."""
    ids = subject.processed["input_ids"][0].tolist()
    return _compared("prompt by the processor", subject, ids, "the checkpoint's own processor")


def _compared(name: str, subject: Subject, theirs: Sequence[int], source: str) -> Finding:
    pads = _placeholders(subject)
    ours = [index for index in subject.streamed.ids if index not in pads]
    wanted = [index for index in theirs if index not in pads]
    pictures = len(theirs) - len(wanted)
    seen = sum(subject.streamed.pieces) - len(ours)
    if ours == wanted and seen == pictures:
        return yes_or_no(name, True, "", f"{len(ours)} text tokens and {pictures} of the video, as in {source}")
    if ours == wanted:
        return yes_or_no(name, False, f"the video has {seen} tokens, in {source} {pictures}", "")
    return yes_or_no(name, False, f"{_difference(subject, ours, wanted)} ({source} says so)", "")


def _placeholders(subject: Subject) -> set[int]:
    """Ids that stand for pictures and whose embeddings are replaced."""
    config = subject.model.hf.config
    names = ("video_token_id", "video_token_index", "image_token_id", "image_token_index")
    return {index for name in names if (index := getattr(config, name, None)) is not None}


def _difference(subject: Subject, ours: Sequence[int], theirs: Sequence[int]) -> str:
    pairs = zip_longest(ours, theirs)
    at, (own, other) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    words = [
        "nothing" if index is None else repr(subject.model.prompt.tokenizer.decode([index])) for index in (own, other)
    ]
    counts = "" if len(ours) == len(theirs) else f"; there are {len(ours)} of them, and should be {len(theirs)}"
    return f"text token {at} is {words[0]}, and should be {words[1]}{counts}"
