"""Who appears in a stream: kinds and colours, in order of appearance.

Some kinds come back in another colour (there is something to count), some kinds and colours appear
once (there is something to name) and at least two kinds never appear (there is something to miss).
"""

from __future__ import annotations

from random import Random

from infinipot_v.pocket.lexicon import COLOUR_NAMES, KINDS, NUMBERS

Role = tuple[int, int]  # kind, colour: indices into KINDS and COLOUR_NAMES
MOST_KINDS = 9


def cast(random: Random, count: int) -> list[Role]:
    """Draw `count` roles, all different, no kind more often than NUMBERS can say."""
    kinds = _kinds(random, count)
    palette = random.sample(range(len(COLOUR_NAMES)), len(COLOUR_NAMES))
    rare = random.randint(2, 4)
    single, common = palette[:rare], palette[rare:]
    bearers = set(random.sample(range(count), min(rare, count)))
    roles: list[Role] = []
    for index, kind in enumerate(kinds):
        free = [c for c in common if (kind, c) not in roles]
        roles.append((kind, single.pop() if index in bearers else random.choice(free)))
    return roles


def _kinds(random: Random, count: int) -> list[int]:
    distinct = random.randint(-(-count // 2), min(MOST_KINDS, count))
    distinct = max(distinct, -(-count // len(NUMBERS)))
    chosen = random.sample(range(len(KINDS)), distinct)
    kinds = list(chosen)
    while len(kinds) < count:
        again = [kind for kind in chosen if kinds.count(kind) < len(NUMBERS)]
        kinds.append(again[0] if random.random() < 0.7 else random.choice(again))
    random.shuffle(kinds)
    return kinds
