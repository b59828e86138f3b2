"""The same video twice: the same memory, the same answer."""

from __future__ import annotations

from infinipot_v.verify.finding import Finding, yes_or_no
from infinipot_v.verify.subject import Subject
from infinipot_v.verify.trace import SEVERAL, contents, difference, watched


def same_twice(subject: Subject) -> Finding:
    """Two sessions over the same frames, compactions and all."""
    first, second = watched(subject), watched(subject)
    words = difference(contents(first), contents(second))
    if words:
        return yes_or_no("repeatable", False, f"two runs over the same video differ: {words}", "")
    replies = [session.ask(subject.question, decoding=SEVERAL).text for session in (first, second)]
    same = replies[0] == replies[1]
    return yes_or_no("repeatable", same, f"two runs answer {replies[0]!r} and {replies[1]!r}", "two runs are equal")
