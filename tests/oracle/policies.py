"""The policies as loops over heads and slots, straight from the equations. Slow on purpose; shares nothing with src.

Views come in as `KVView`; results are lists of slot lists, one a head.
"""

from __future__ import annotations

import math
from fractions import Fraction

INF = math.inf


def best(scores, keep):
    """Indices of the `keep` highest scores, newer first among equals, ascending."""
    order = sorted(range(len(scores)), key=lambda i: (scores[i], i), reverse=True)
    return sorted(order[:keep])


def norm(vector):
    return math.sqrt(sum(x * x for x in vector))


def cosine(a, b):
    product = norm(a) * norm(b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / product if product else 0.0


def rows(view):
    """`(keys, values, steps, cells)` as nested lists."""
    return view.keys.double().tolist(), view.values.double().tolist(), view.steps.tolist(), view.cells.tolist()


def coefficient_of_variation(view):
    _, values, _, cells = rows(view)
    norms = [norm(v) for vs, cs in zip(values, cells, strict=True) for v, c in zip(vs, cs, strict=True) if c >= 0]
    mean = sum(norms) / len(norms) if norms else 0.0
    if mean == 0:
        return None
    return math.sqrt(sum((x - mean) ** 2 for x in norms) / len(norms)) / mean


def kernel_of(view, thresholds):
    cv = coefficient_of_variation(view)
    if cv is None:
        return 1
    for kernel, threshold in zip((7, 5, 3), thresholds, strict=True):
        if cv < threshold:
            while kernel > 1 and 10 * kernel > 7 * min(view.grid.height, view.grid.width):
                kernel -= 2  # no wider than seven tenths of the grid's shorter side
            return kernel
    return 1


def pooled_van(view, kernel):
    """VaN averaged over the present cells of a kernel x kernel window of the token's own step; text -inf."""
    _, values, steps, cells = rows(view)
    height, width, half = view.grid.height, view.grid.width, kernel // 2
    out = []
    for vs, ts, cs in zip(values, steps, cells, strict=True):
        held = {(t, c): norm(v) for v, t, c in zip(vs, ts, cs, strict=True) if c >= 0}
        head = []
        for t, c in zip(ts, cs, strict=True):
            if c < 0:
                head.append(-INF)
                continue
            y, x = divmod(c, width)
            window = [
                held[t, j * width + i]
                for j in range(max(0, y - half), min(height, y + half + 1))
                for i in range(max(0, x - half), min(width, x + half + 1))
                if (t, j * width + i) in held
            ]
            head.append(sum(window) / len(window))
        out.append(head)
    return out


def text_as_best(scores, steps, cells):
    """A text slot is worth the best vision slot of its step in that head."""
    return [
        max((s for s, u, d in zip(scores, steps, cells, strict=True) if u == t and d >= 0), default=-INF)
        if c < 0
        else score
        for score, t, c in zip(scores, steps, cells, strict=True)
    ]


def vision_tokens(steps, cells, step):
    return sum(t == step and c >= 0 for t, c in zip(steps, cells, strict=True))


def recent_steps(view, keep, alpha, recent):
    """The r newest step ids that hold vision tokens."""
    _, _, steps, cells = rows(view)
    p = view.grid.height * view.grid.width
    ids = sorted({t for ts, cs in zip(steps, cells, strict=True) for t, c in zip(ts, cs, strict=True) if c >= 0})
    fresh = view.fresh_steps
    if fresh is None:
        fresh = 0
        for t in reversed(ids):
            if any(vision_tokens(ts, cs, t) < p for ts, cs in zip(steps, cells, strict=True)):
                break
            fresh += 1
    r = max(0, min(int(recent * view.slots) // p, fresh, int(alpha * keep) // p))
    return ids[-r:] if r else []


def tar(keys, steps, cells, newest):
    """One head: minus the mean cosine with the same cell in the recent steps; -inf for text and recents."""
    first = newest[0]
    scores = []
    for k, t, c in zip(keys, steps, cells, strict=True):
        if c < 0 or t >= first:
            scores.append(-INF)
            continue
        same = [cosine(k, q) for q, u, d in zip(keys, steps, cells, strict=True) if u >= first and d == c]
        scores.append(-(sum(same) / len(same)) if same else None)
    most = max((s for s in scores if s is not None and s > -INF), default=0.0)
    return [most if s is None else s for s in scores]


def two_stages(van, tar_scores, recent, picks, keep):
    """Algorithm 2 for one head."""
    picked = [i for i in best(tar_scores, picks) if tar_scores[i] > -INF]
    return best([INF if i in picked or recent[i] else s for i, s in enumerate(van)], keep)


def infinipot_v(view, keep, alpha, recent, kernel, van=None):
    """`van` overrides the pooled scores (those the cache has stored); `kernel` is used otherwise."""
    keys, _, steps, cells = rows(view)
    p = view.grid.height * view.grid.width
    newest = recent_steps(view, keep, alpha, recent)
    kept = []
    for h, scores in enumerate(van or pooled_van(view, kernel)):
        scores = text_as_best(scores, steps[h], cells[h])
        if not newest:
            kept.append(best(scores, keep))
            continue
        distinct = tar(keys[h], steps[h], cells[h], newest)
        is_recent = [c >= 0 and t >= newest[0] for t, c in zip(steps[h], cells[h], strict=True)]
        kept.append(two_stages(scores, distinct, is_recent, int(alpha * keep) - len(newest) * p, keep))
    return kept


def infinipot_v_code(view, keep, alpha, recent, pooling):
    keys, values, _, _ = rows(view)
    p = view.grid.height * view.grid.width
    lead = -view.slots % p
    frame = [(i + lead) // p for i in range(view.slots)]
    column = [(i + lead) % p for i in range(view.slots)]
    r = min(int(recent * (view.slots // p)), int(alpha * keep) // p)
    kept = []
    for ks, vs in zip(keys, values, strict=True):
        scores = [norm(v) for v in vs]
        if pooling == "quarters":
            scores = quarter_pool(scores, frame, column, view)
        if r == 0:
            kept.append(best(scores, keep))
            continue
        newest = list(range(frame[-1] - r + 1, frame[-1] + 1))
        distinct = tar(ks, frame, column, newest)
        kept.append(two_stages(scores, distinct, [f >= newest[0] for f in frame], int(alpha * keep) - r * p, keep))
    return kept


def quarter_pool(scores, frame, column, view):
    """Sums over the window divided by its full size, whatever of it lies outside."""
    quarter = view.layer * 4 // view.num_layers
    if quarter == 3:
        return scores
    if quarter == 2:
        return [sum(scores[max(0, i - 1) : i + 2]) / 3 for i in range(len(scores))]
    reach_t, reach = (3, 3) if quarter == 0 else (0, 2)
    place = [(f, *divmod(c, view.grid.width)) for f, c in zip(frame, column, strict=True)]
    return [
        sum(
            s
            for s, (f, y, x) in zip(scores, place, strict=True)
            if abs(f - g) <= reach_t and abs(y - j) <= reach and abs(x - i) <= reach
        )
        / ((2 * reach_t + 1) * (2 * reach + 1) ** 2)
        for g, j, i in place
    ]


def sliding_window(slots, keep, sinks):
    sinks = min(sinks, keep)
    return list(range(sinks)) + list(range(slots - (keep - sinks), slots))


def uniform(view, keep):
    _, _, steps, cells = rows(view)
    p = view.grid.height * view.grid.width
    ids = sorted({t for ts in steps for t in ts})
    whole = [t for t in ids if all(vision_tokens(ts, cs, t) == p for ts, cs in zip(steps, cells, strict=True))]
    candidates = whole or ids
    widest = max(ts.count(t) for ts in steps for t in candidates)
    count = min(keep // widest, len(candidates))
    chosen = spread(candidates, count)
    kept = []
    for ts in steps:
        taken = [i for i, t in enumerate(ts) if t in chosen]
        rest = [i for i, t in enumerate(ts) if t not in chosen]
        kept.append(sorted(taken + rest[len(rest) - (keep - len(taken)) :]))
    return kept


def spread(ids, count):
    """`count` of `ids` nearest to an even spacing from 0 to the newest, each used once, later targets moving on."""
    chosen, last = [], -1
    for i in range(count):
        target = Fraction(i * ids[-1], count - 1) if count > 1 else Fraction(ids[-1])
        near = min(range(len(ids)), key=lambda j: (abs(ids[j] - target), -j))
        last = min(max(near, last + 1), len(ids) - count + i)
        chosen.append(ids[last])
    return chosen


def random(view, keep, seed):
    kept = []
    for h, (ts, cs) in enumerate(zip(view.steps.tolist(), view.cells.tolist(), strict=True)):
        scores = []
        for t, c in zip(ts, cs, strict=True):
            x = splitmix64(seed)
            for part in (view.layer, h, t, c):
                x = splitmix64(x + part)
            scores.append(x - 2**64 if x >= 2**63 else x)
        kept.append(best(scores, keep))
    return kept


def splitmix64(x):
    mask = 2**64 - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def key_norm(view, keep):
    return [best([-norm(k) for k in ks], keep) for ks in view.keys.double().tolist()]


def keydiff(view, keep, recent):
    kept, newest = [], int(recent * keep)
    for ks in view.keys.double().tolist():
        units = [[x / norm(k) if norm(k) else 0.0 for x in k] for k in ks]
        mean = [sum(column) / len(units) for column in zip(*units, strict=True)]
        scores = [-cosine(k, mean) for k in ks]
        kept.append(best([INF if i >= len(ks) - newest else s for i, s in enumerate(scores)], keep))
    return kept


def tar_alone(view, keep, recent, by, reverse):
    keys, _, steps, cells = rows(view)
    newest = recent_steps(view, keep, 1.0, recent)
    kept = []
    for ks, ts, cs in zip(keys, steps, cells, strict=True):
        if not newest:
            kept.append(list(range(len(ts) - keep, len(ts))))
            continue
        scores = tar(ks, ts, cs, newest)
        if by == "frame":
            of_step = {t: [s for s, u in zip(scores, ts, strict=True) if u == t and s > -INF] for t in ts}
            scores = [sum(of_step[t]) / len(of_step[t]) if s > -INF else s for s, t in zip(scores, ts, strict=True)]
        if reverse:
            scores = [-s for s in scores]
        is_recent = [t >= newest[0] for t in ts]
        worth = [2.0 if r else s for s, r in zip(scores, is_recent, strict=True)]  # no mean of cosines reaches 2
        worth = text_as_best(worth, ts, cs)  # so a recent step's text comes next behind the recent cells
        kept.append(best([INF if r and c >= 0 else s for s, r, c in zip(worth, is_recent, cs, strict=True)], keep))
    return kept


def van_alone(view, keep, kernel, reverse, scores=None):
    """`scores` are those that the cache has stored, negated already where the lowest stay."""
    sign = -1 if reverse else 1
    _, _, steps, cells = rows(view)
    scores = scores or [[sign * s for s in head] for head in pooled_van(view, kernel)]
    return [best(text_as_best(s, ts, cs), keep) for s, ts, cs in zip(scores, steps, cells, strict=True)]


def attention(view):
    """What each slot receives of a softmax over the slots, mean over the queries that read its head."""
    keys = (view.keys if view.read is None else view.read).double().tolist()
    queries = view.queries.double().tolist()
    groups, out = len(queries) // len(keys), []
    for h, ks in enumerate(keys):
        rows_of_head = []
        for q in [q for query_head in queries[h * groups : (h + 1) * groups] for q in query_head]:
            logits = [sum(x * y for x, y in zip(q, k, strict=True)) / math.sqrt(len(q)) for k in ks]
            weights = [math.exp(x - max(logits)) for x in logits]
            rows_of_head.append([w / sum(weights) for w in weights])
        out.append([sum(column) / len(rows_of_head) for column in zip(*rows_of_head, strict=True)])
    return out


def neighbours(scores, kernel, pooling):
    half, out = kernel // 2, []
    for i in range(len(scores)):
        window = scores[max(0, i - half) : i + half + 1]
        out.append({"max": max(window), "average": sum(window) / len(window), "off": scores[i]}[pooling])
    return out


def snapkv_scores(view, kernel, pooling):
    return [neighbours(scores, kernel, pooling) for scores in attention(view)]


def hermes_scores(view, shallow, deep):
    """One list for all heads."""
    received, n = attention(view), view.slots
    meant = [sum(column) / len(received) for column in zip(*received, strict=True)]
    first, last = int(shallow * view.num_layers), int((1 - deep) * view.num_layers)
    share, speed = (1.0, 20.0) if view.layer < first else (0.0, 0.0)
    if first <= view.layer < last:
        depth = (view.layer - first) / (last - first)
        share, speed = 1 - 0.9 * depth, 20 - 19.5 * depth
    recency = [math.exp(-speed * (n - 1 - i) / max(1, n - 1)) for i in range(n)]
    return [share * r + (1 - share) * a for r, a in zip(stretched(recency), stretched(meant), strict=True)]


def stretched(scores):
    """To [0, 1], but for differences that are none."""
    least, most = min(scores, default=0.0), max(scores, default=0.0)
    return [(s - least) / max(most - least, 1e-4 * most) for s in scores]
