"""A standing question: how probable is yes, against no, right now? The memory is left as it was."""

from __future__ import annotations

from collections.abc import Iterable

from infinipot_v.session import Session

YES = ("Yes", " Yes", "yes", " yes", "YES", " YES")
NO = ("No", " No", "no", " no", "NO", " NO")


def chance_of_yes(session: Session, question: str) -> float | None:
    """P(yes) / (P(yes) + P(no)) of the first token of the answer, in [0, 1].

    The ways in which a tokenizer may begin either word (`YES`, `NO`) count together; those that are no single token of
    their own count by their first, unless both words share it. None where no token tells them apart. Like a question
    with `remember=False` it leaves no trace in the memory. Raises `UserError` as `Session.ask` does.
    """
    tokenizer = session.model.prompt.tokenizer
    yes, no = _first_tokens(tokenizer, YES), _first_tokens(tokenizer, NO)
    yes, no = yes - no, no - yes
    if not yes or not no:
        return None
    logits = session.answering(question).first_logits().double()
    chances = logits.softmax(-1)
    for_yes, for_no = (float(chances[sorted(ids)].sum()) for ids in (yes, no))
    return for_yes / (for_yes + for_no)


def _first_tokens(tokenizer: object, words: Iterable[str]) -> set[int]:
    ids = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in words)  # type: ignore[operator]
    return {found[0] for found in ids if found}
