"""Questions in plain English with one right answer, drawn from the facts of a moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from infinipot_v.pocket.facts import Facts, facts_at
from infinipot_v.pocket.lexicon import COLOUR_NAMES, KINDS, LETTERS, NOTHING, NUMBERS, PLACES, PLURALS
from infinipot_v.pocket.scene import FRAMES_PER_STEP, Scene

TRIES = 12
EMPTY_REFUSED = 0.92  # of the moments at which nothing is visible, as an occasion to ask what is
COUNT_ODDS = (1, 2, 2, 2, 2, 3, 3, 3, 3)  # evens out how rarely a kind comes back


@dataclass(frozen=True)
class Question:
    """A question, its truth and when it is asked.

    ask_at: seconds; all frames before it have been seen, none after. delay_seconds: time since the
    evidence left the picture, 0 if it is visible. choices: the answers a blind guesser picks from.
    evidence: indices of the things (in order of appearance) that decide the answer.
    """

    text: str
    answer: str
    kind: str
    ask_at: float
    delay_seconds: float
    choices: tuple[str, ...]
    evidence: tuple[int, ...]

    def correct(self, reply: str) -> bool:
        """Whether a reply begins with the answer, letter case and punctuation aside."""
        words, truth = _words(reply), _words(self.answer)
        return words[: len(truth)] == truth


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _made(facts: Facts, kind: str, text: str, answer: str, choices: tuple[str, ...], *evidence: int) -> Question:
    delay = float(facts.delay(*evidence))
    return Question(text, answer, kind, float(facts.now), delay, choices, evidence)


def _attribute(facts: Facts, random: Random) -> Question | None:
    if not (known := facts.unique_kinds()):
        return None
    thing = random.choice(known)
    form = random.choice(("What colour was the {}?", "Which colour did the {} have?"))
    text = form.format(facts.kind(thing))
    return _made(facts, "attribute", text, facts.colour(thing), COLOUR_NAMES, thing)


def _what(facts: Facts, random: Random) -> Question | None:
    if not (known := facts.unique_colours()):
        return None
    thing = random.choice(known)
    form = random.choice(("What was {}?", "Which thing was {}?"))
    return _made(facts, "what", form.format(facts.colour(thing)), facts.kind(thing), KINDS, thing)


def _place(facts: Facts, random: Random) -> Question | None:
    known = [i for i in facts.unique_kinds() if facts.things[i].place is not None]
    if not known:
        return None
    thing = random.choice(known)
    form = random.choice(("Where was the {}?", "In which corner was the {}?"))
    answer = PLACES[facts.things[thing].place or 0]
    return _made(facts, "place", form.format(facts.kind(thing)), answer, PLACES, thing)


def _order(facts: Facts, random: Random) -> Question | None:
    if len(facts.things) < 2:
        return None
    return random.choice((_sooner, _later, _ends, _neighbour))(facts, random)


def _pair(facts: Facts, random: Random) -> list[int] | None:
    known = facts.unique_kinds()
    return sorted(random.sample(known, 2)) if len(known) > 1 else None


def _sooner(facts: Facts, random: Random) -> Question | None:
    return _of_two(facts, random, "Which came first, the {} or the {}?", 0)


def _later(facts: Facts, random: Random) -> Question | None:
    return _of_two(facts, random, "Which came later, the {} or the {}?", 1)


def _of_two(facts: Facts, random: Random, form: str, pick: int) -> Question | None:
    if (pair := _pair(facts, random)) is None:
        return None
    names = [facts.kind(i) for i in pair]
    shown = random.sample(names, 2)
    return _made(facts, "order", form.format(*shown), names[pick], tuple(shown), *pair)


def _ends(facts: Facts, random: Random) -> Question | None:
    text, thing = random.choice((("What came first?", 0), ("What came last?", len(facts.things) - 1)))
    return _made(facts, "order", text, facts.kind(thing), KINDS, thing)


def _neighbour(facts: Facts, random: Random) -> Question | None:
    """What came right before or right after a thing that is the only one of its kind."""
    step, word = random.choice(((1, "after"), (-1, "before")))
    known = [i for i in facts.unique_kinds() if 0 <= i + step < len(facts.things)]
    if not known:
        return None
    thing = random.choice(known)
    text = f"What came right {word} the {facts.kind(thing)}?"
    return _made(facts, "order", text, facts.kind(thing + step), KINDS, thing, thing + step)


def _count(facts: Facts, random: Random) -> Question | None:
    wanted = random.choice(COUNT_ODDS)
    kinds = sorted({t.kind for t in facts.things if len(facts.of_kind(t.kind)) == wanted})
    if not kinds:
        return None
    kind = random.choice(kinds)
    form = random.choice(("How many {} were there?", "How many {} came by?"))
    text = form.format(PLURALS[KINDS[kind]])
    return _made(facts, "count", text, NUMBERS[wanted - 1], NUMBERS, *facts.of_kind(kind))


def _now(facts: Facts, random: Random) -> Question | None:
    visible = facts.visible()
    if len(visible) > 1 or (not visible and random.random() < EMPTY_REFUSED):
        return None
    answer = facts.kind(visible[0]) if visible else NOTHING
    text = random.choice(("What is in the picture now?", "What is visible now?"))
    return _made(facts, "now", text, answer, (*KINDS, NOTHING), *visible)


def _never(facts: Facts, random: Random) -> Question | None:
    seen = sorted({thing.kind for thing in facts.things})
    if len(seen) < 3:
        return None
    absent = random.choice(facts.absent_kinds())
    shown = random.sample(seen, 3)
    kinds = random.sample([*shown, absent], 4)
    names = tuple(KINDS[k] for k in kinds)
    evidence = [max(facts.of_kind(k), key=lambda i: facts.things[i].last) for k in shown]
    text = "Which was never there: {}, {}, {} or {}?".format(*names)
    return _made(facts, "never", text, KINDS[absent], names, *evidence)


def _yesno(facts: Facts, random: Random) -> Question | None:
    if not facts.things:
        return None
    thing = random.randrange(len(facts.things))
    shown = facts.things[thing]
    kind, colour, answer = shown.kind, shown.colour, "yes"
    if random.random() < 0.5:
        answer = "no"
        kind, colour = _unseen(facts, random, kind, colour)
    article = "an" if COLOUR_NAMES[colour][0] in "aeiou" else "a"
    text = f"Was there {article} {COLOUR_NAMES[colour]} {KINDS[kind]}?"
    return _made(facts, "yesno", text, answer, ("yes", "no"), thing)


def _unseen(facts: Facts, random: Random, kind: int, colour: int) -> tuple[int, int]:
    """A pair not seen so far, alike to the given one in kind or in colour."""
    seen = {(thing.kind, thing.colour) for thing in facts.things}
    colours = sorted({c for _, c in seen} if random.random() < 0.7 else set(range(8)))
    kinds = sorted({k for k, _ in seen} if random.random() < 0.7 else set(range(len(KINDS))))
    near = [(kind, c) for c in colours] if random.random() < 0.5 else [(k, colour) for k in kinds]
    free = [pair for pair in near if pair not in seen]
    return random.choice(free or [(kind, c) for c in range(8) if (kind, c) not in seen])


def _choice(facts: Facts, random: Random) -> Question | None:
    about_colour = random.random() < 0.5
    known = facts.unique_kinds() if about_colour else facts.unique_colours()
    if not known:
        return None
    thing = random.choice(known)
    truth = facts.colour(thing) if about_colour else facts.kind(thing)
    wrong = [word for word in (COLOUR_NAMES if about_colour else KINDS) if word != truth]
    options = random.sample([truth, *random.sample(wrong, 3)], 4)
    asked = f"What colour was the {facts.kind(thing)}" if about_colour else ""
    asked = asked or f"What was {facts.colour(thing)}"
    text = asked + ": A {}, B {}, C {} or D {}?".format(*options)
    return _made(facts, "choice", text, LETTERS[options.index(truth)], LETTERS, thing)


ASKERS: dict[str, Callable[[Facts, Random], Question | None]] = {
    "attribute": _attribute,
    "what": _what,
    "place": _place,
    "order": _order,
    "count": _count,
    "now": _now,
    "never": _never,
    "yesno": _yesno,
    "choice": _choice,
}
QUESTION_KINDS: tuple[str, ...] = tuple(ASKERS)


def ask(scene: Scene, random: Random, kind: str, late: float = 0.0) -> Question | None:
    """Draw a question of a kind at some step's edge; None if the scene offers none in 12 tries.

    late: chance that it is asked at the stream's end instead of anywhere within it.
    """
    steps = scene.frames // FRAMES_PER_STEP
    for _ in range(TRIES):
        step = steps if random.random() < late else random.randint(1, steps)
        facts = facts_at(scene, step * FRAMES_PER_STEP)
        question = ASKERS[kind](facts, random) if facts else None
        if question is not None:
            return question
    return None
