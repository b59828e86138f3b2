"""Questions as rows of tokens: what a batch asks of one stream, each row independent of the others."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from infinipot_v.pocket.questions import QUESTION_KINDS, Question, ask
from infinipot_v.pocket.scene import FRAMES_PER_STEP, Scene
from infinipot_v.pocket.vocabulary import ANSWER, FIRST_TURN, NEXT_TURN, build_tokenizer

LENGTH = 40  # tokens of a row, right-padded
TURNS = 2  # most turns of a row's dialogue
IGNORED = -100


class Rows(NamedTuple):
    """R rows of T tokens. tokens int16 [R, T]; labels int16 [R, T], the token itself where it is
    an answer's and -100 elsewhere; turn int8 [R, T], the turn of a labelled token; ask_step int16
    [R], steps seen; kind int8 [R, 2], index into QUESTION_KINDS of every turn, -1 for none."""

    tokens: NDArray[np.int16]
    labels: NDArray[np.int16]
    turn: NDArray[np.int8]
    ask_step: NDArray[np.int16]
    kind: NDArray[np.int8]


@lru_cache(maxsize=1)
def _tokenizer() -> Tokenizer:
    return build_tokenizer()


@lru_cache(maxsize=100_000)
def encoded(text: str) -> tuple[int, ...]:
    """Token ids of a piece of a prompt."""
    return tuple(_tokenizer().encode(text, add_special_tokens=False).ids)


def rows_of(scene: Scene, random: Random, count: int, odds: list[float], late: float) -> Rows:
    """Draw `count` rows. odds: how often to ask each question kind, zero for never."""
    rows = Rows(
        np.zeros((count, LENGTH), np.int16),
        np.full((count, LENGTH), IGNORED, np.int16),
        np.zeros((count, LENGTH), np.int8),
        np.ones(count, np.int16),
        np.full((count, TURNS), -1, np.int8),
    )
    for row in range(count):
        dialogue = _dialogue(scene, random, odds, late)
        if dialogue:
            rows.ask_step[row] = int(dialogue[0].ask_at) // FRAMES_PER_STEP
        _write(rows, row, dialogue)
    return rows


def _dialogue(scene: Scene, random: Random, odds: list[float], late: float) -> list[Question]:
    """One question, sometimes a second of the same moment about other things."""
    drawn = (_practised(scene, random, kind, late) for kind in random.choices(QUESTION_KINDS, odds, k=4))
    first = next((question for question in drawn if question is not None), None)
    if first is None or random.random() > 0.25:
        return [first] if first else []
    moment = scene_until(scene, first)
    second = ask(moment, random, random.choices(QUESTION_KINDS, odds)[0], late=1)
    if second is None or set(second.evidence) & set(first.evidence):
        return [first]
    return [first, second]


def _practised(scene: Scene, random: Random, kind: str, late: float) -> Question | None:
    """A question of a kind; of the order questions, more of those about neighbours, learned last."""
    question = ask(scene, random, kind, late)
    if kind == "order" and question and " right " not in question.text and random.random() < 0.5:
        return ask(scene, random, kind, late)
    return question


def scene_until(scene: Scene, question: Question) -> Scene:
    """The scene cut off where a question is asked."""
    return replace(scene, frames=int(question.ask_at))


def _write(rows: Rows, row: int, dialogue: list[Question]) -> None:
    start = 0
    for turn, question in enumerate(dialogue):
        asked = encoded((NEXT_TURN if turn else FIRST_TURN).format(question.text))
        answer = encoded(ANSWER.format(question.answer))
        stop = start + len(asked) + len(answer)
        if stop > LENGTH:
            return
        rows.tokens[row, start:stop] = asked + answer
        told = slice(start + len(asked), stop - 1)  # the answer and <|im_end|>, not the line break
        rows.labels[row, told] = answer[:-1]
        rows.turn[row, told] = turn
        rows.kind[row, turn] = QUESTION_KINDS.index(question.kind)
        start = stop
