"""Questions: a slow reader of the script, which knows only who was where in which frame, agrees."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from infinipot_v.pocket import QUESTION_KINDS, Question, make_stream
from infinipot_v.pocket.lexicon import COLOUR_NAMES, KINDS, LETTERS, NUMBERS, PLACES, PLURALS
from infinipot_v.pocket.questions import ask
from infinipot_v.pocket.scene import Scene

Sight = tuple[int, str, str, float, float]  # frame, kind, colour, x, y
SINGULAR = {plural: kind for kind, plural in PLURALS.items()}


def sights(scene: Scene, until: int) -> list[Sight]:
    """Who was seen where, frame by frame, up to a moment."""
    seen = []
    for frame in range(until):
        for thing in scene.things:
            if thing.first <= frame < thing.last:
                x, y = thing.path.centre(frame)
                seen.append((frame, KINDS[thing.kind], COLOUR_NAMES[thing.colour], x, y))
    return seen


def slow_answer(question: Question, scene: Scene) -> str:
    """Work the answer out from the question's words and the sights alone."""
    now = int(question.ask_at)
    seen = sights(scene, now)
    words = re.findall(r"[A-Za-z]+", question.text)
    kinds = [SINGULAR.get(w, w) for w in words if SINGULAR.get(w, w) in KINDS]
    colours = [w for w in words if w in COLOUR_NAMES]
    debut = {}
    for frame, kind, colour, _, _ in seen:
        debut.setdefault((kind, colour), frame)
    arrivals = [kind for (kind, _), _ in sorted(debut.items(), key=lambda item: item[1])]
    match question.kind:
        case "attribute":
            return only({c for _, k, c, _, _ in seen if k == kinds[0]})
        case "what":
            return only({k for _, k, c, _, _ in seen if c == colours[0]})
        case "place":
            return only({PLACES[(x > 56) + 2 * (y > 56)] for _, k, _, x, y in seen if k == kinds[0]})
        case "count":
            return NUMBERS[len({c for _, k, c, _, _ in seen if k == kinds[0]}) - 1]
        case "now":
            return only({k for f, k, _, _, _ in seen if f == now - 1} or {"nothing"})
        case "never":
            return only(set(kinds) - {k for _, k, _, _, _ in seen})
        case "yesno":
            return "yes" if (kinds[0], colours[0]) in debut else "no"
        case "choice":
            return slow_choice(words, seen)
    return slow_order(question.text, kinds, arrivals)


def slow_choice(words: list[str], seen: list[Sight]) -> str:
    options = [words[words.index(letter) + 1] for letter in LETTERS]
    asked = words[words.index("A") - 1]
    facts = {(k, c) for _, k, c, _, _ in seen}
    truth = {c for k, c in facts if k == asked} | {k for k, c in facts if c == asked}
    return LETTERS[options.index(only(truth))]


def slow_order(text: str, kinds: list[str], arrivals: list[str]) -> str:
    if "right after" in text:
        return arrivals[arrivals.index(kinds[0]) + 1]
    if "right before" in text:
        return arrivals[arrivals.index(kinds[0]) - 1]
    if "Which came" in text:
        return (min if "first" in text else max)(kinds, key=arrivals.index)
    return arrivals[0 if "first" in text else -1]


def only(found: set[str]) -> str:
    (one,) = found
    return one


@pytest.mark.parametrize("steps", [8, 40, 128])
def test_answers_agree_with_the_slow_reader(steps: int) -> None:
    for seed in range(40):
        stream = make_stream(seed, steps)
        for question in stream.questions:
            assert slow_answer(question, stream.scene) == question.answer, question
            assert question.answer in question.choices


def test_delay_counts_from_the_last_sight_of_the_oldest_evidence() -> None:
    for seed in range(40):
        stream = make_stream(seed, 64)
        for question in stream.questions:
            gone = [question.ask_at - stream.scene.things[i].last for i in question.evidence]
            assert question.delay_seconds == max([0.0, *gone])
            assert all(stream.scene.things[i].first < question.ask_at for i in question.evidence)


def test_long_streams_ask_every_kind_at_many_times() -> None:
    streams = [make_stream(seed, 128) for seed in range(20)]
    assert sum(len({q.ask_at for q in stream.questions}) for stream in streams) > 20 * 6
    for stream in streams:
        assert {q.kind for q in stream.questions} == set(QUESTION_KINDS)
        assert all(0 < q.ask_at <= stream.seconds and q.ask_at % 2 == 0 for q in stream.questions)
        assert [q.ask_at for q in stream.questions] == sorted(q.ask_at for q in stream.questions)


def test_blind_guessing_is_near_chance() -> None:
    """Always giving a kind's commonest answer, and any choice at random, over development seeds."""
    given: dict[str, Counter[str]] = {kind: Counter() for kind in QUESTION_KINDS}
    chance: dict[str, list[float]] = {kind: [] for kind in QUESTION_KINDS}
    for seed in range(400):
        for question in make_stream(seed, 64).questions:
            given[question.kind][question.answer] += 1
            chance[question.kind].append(1 / len(question.choices))
    commonest = {k: c.most_common(1)[0][1] / c.total() for k, c in given.items()}
    fair = {k: sum(v) / len(v) for k, v in chance.items()}
    slack = {"now": 0.1, "count": 0.15}  # "nothing" is an answer of its own; threes are commoner late
    for kind in QUESTION_KINDS:
        assert commonest[kind] < fair[kind] + slack.get(kind, 0.07), (kind, commonest[kind], fair[kind])


def test_a_reply_is_right_if_it_begins_with_the_answer() -> None:
    question = Question("Where was the ball?", "top left", "place", 4.0, 0.0, PLACES, (0,))
    assert question.correct("top left")
    assert question.correct(" Top left. It was there.")
    assert not question.correct("top")
    assert not question.correct("the top left")
    assert not question.correct("bottom left")
    assert not question.correct("")


def test_no_question_is_decided_within_half_a_step() -> None:
    for seed in range(40):
        scene = make_stream(seed, 32).scene
        edges = {edge for thing in scene.things for edge in (thing.first, thing.last)}
        for kind in QUESTION_KINDS:
            question = ask(scene, Random(seed), kind)
            assert question is None or int(question.ask_at) - 1 not in edges
