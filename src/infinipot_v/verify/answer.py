"""One answer, for a person to read: no check can tell sense from nonsense."""

from __future__ import annotations

from infinipot_v.generate import Decoding
from infinipot_v.verify.finding import Finding, yes_or_no
from infinipot_v.verify.subject import Subject


def one(subject: Subject) -> Finding:
    """Watch the whole video and ask."""
    session = subject.session()
    session.watch(iter(subject.video))
    answer = session.ask(subject.question, decoding=Decoding(max_new_tokens=48), remember=False)
    shown = f"{subject.question} -> {' '.join(answer.text.split()) or '(nothing)'}"
    return yes_or_no("answer", answer.finish in ("stop", "length"), f"ended by {answer.finish}: {shown}", shown)
