"""The loop version of every policy in the registry, under its name. A new policy adds a line here, in one of two kinds.

`KEPT[name](policy, view, keep)` says which slots stay, one list a head. `WORTH[name](policy, view)` says what each slot
is worth, where a score is rounded even for the numbers of "exact" views, so that either of two near-ties may stay.
"""

from __future__ import annotations

from tests.oracle import policies as loops

ROUNDING = 1e-5
"""Loops run in float64, policies in float32."""


def differing(policy, view, keep, kept):
    """How many slots of `kept`, of all heads together, the loop version would not keep."""
    if policy.name in KEPT:
        wanted = KEPT[policy.name](policy, view, keep)
        assert all(len(set(head)) == keep for head in wanted)
        return sum(len(set(head) - set(other)) for head, other in zip(kept.tolist(), wanted, strict=True))
    worth = WORTH[policy.name](policy, view)
    return sum(too_low(head, scores, keep) for head, scores in zip(kept.tolist(), worth, strict=True))


def too_low(kept, scores, keep):
    """How many kept slots are worth less than the `keep`-th best, rounding aside."""
    least = sorted(scores, reverse=True)[keep - 1] if keep else 0.0
    return sum(scores[slot] < least - ROUNDING * max(1.0, abs(least)) for slot in kept)


def everything(view, keep):
    return [list(range(keep))] * len(view.keys)


def stored(view):
    """Scores as the cache keeps them with the slots."""
    return None if view.scores is None else view.scores.tolist()


def kernel(policy, view):
    """As noted at the first compaction, else by the CV of what is there."""
    if view.note:
        return view.note["kernel"]
    return loops.kernel_of(view, policy.thresholds) if policy.pooling == "adaptive" else 1


def in_means(attention):
    """Shares of one attention, as multiples of the mean share: rounding is of this size then."""
    return [[share * len(head) for share in head] for head in attention]


KEPT = {
    "full": lambda p, view, keep: everything(view, keep),
    "sliding-window": lambda p, view, keep: [loops.sliding_window(view.slots, keep, p.sinks)] * len(view.keys),
    "uniform": lambda p, view, keep: loops.uniform(view, keep) if keep < view.slots else everything(view, keep),
    "random": lambda p, view, keep: loops.random(view, keep, p.seed),
    "key-norm": lambda p, view, keep: loops.key_norm(view, keep),
    "keydiff": lambda p, view, keep: loops.keydiff(view, keep, p.recent),
    "infinipot-v": lambda p, view, keep: loops.infinipot_v(
        view, keep, p.alpha, p.recent, kernel(p, view), stored(view)
    ),
    "infinipot-v-code": lambda p, view, keep: loops.infinipot_v_code(view, keep, p.alpha, p.recent, p.pooling),
    "tar": lambda p, view, keep: loops.tar_alone(view, keep, p.recent, p.by, p.reverse),
    "van": lambda p, view, keep: loops.van_alone(view, keep, kernel(p, view), p.reverse, stored(view)),
}

WORTH = {
    "snapkv": lambda p, view: in_means(loops.snapkv_scores(view, p.kernel, p.pooling)),
    "infinipot": lambda p, view: in_means(loops.attention(view)),
    "streammem": lambda p, view: in_means(loops.attention(view)),
    "hermes": lambda p, view: [loops.hermes_scores(view, p.shallow, p.deep)] * len(view.keys),
}
