"""Random views for the policy tests: heads that lost different tokens, gaps between steps, text, ties, zeros.

"Exact" tensors have one non-zero component, a power of two in keys and a small whole number in values, so that
every score is the same rational in float32, in bf16 inputs and in the oracle's float64: ties are true ties.
"""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import torch
from hypothesis import settings

from infinipot_v.policies.base import KVView

many = settings(max_examples=250, deadline=None)
"""How hard a comparison with an oracle looks."""

GRIDS = ((1, 1), (2, 2), (2, 3), (1, 5), (3, 3), (5, 4), (5, 7))


def tokens_of(step, grid, text):
    """Labels of one step on arrival: its text first, then its cells in order."""
    return [(step, -1)] * text + [(step, cell) for cell in range(grid[0] * grid[1])]


def exact_tensor(shape, rng, sizes, dtype):
    """`[..., dim]` with one non-zero component a vector, of a size drawn from `sizes` and a random sign."""
    count, dim = torch.Size(shape[:-1]).numel(), shape[-1]
    out = torch.zeros(count, dim)
    for i in range(count):
        out[i, rng.randrange(dim)] = rng.choice(sizes) * rng.choice((-1, 1))
    return out.view(shape).to(dtype)


def make_view(labels, grid, rng, dim=3, dtype=torch.float32, exact=True, **optional):
    """A view over `labels`, a list of (step, cell) a head."""
    steps = torch.tensor([[t for t, _ in head] for head in labels], dtype=rng.choice((torch.int32, torch.int64)))
    cells = torch.tensor([[c for _, c in head] for head in labels], dtype=rng.choice((torch.int16, torch.int64)))
    shape = (*steps.shape, dim)
    if exact:
        keys = exact_tensor(shape, rng, rng.choice([(0, 1, 2), (1, 0.5, 4), (0,), (1,)]), dtype)
        values = exact_tensor(shape, rng, rng.choice([range(10), range(5, 9), (0,), (3,), (0, 1)]), dtype)
    else:
        generator = torch.Generator().manual_seed(rng.randrange(2**31))
        keys = torch.randn(shape, generator=generator).to(dtype)
        values = torch.randn(shape, generator=generator).to(dtype)
    num_layers = rng.randint(1, 9)
    return KVView(keys, values, steps, cells, grid, rng.randrange(num_layers), num_layers, **optional)


def random_labels(rng, grid, heads):
    """Old steps of which each head holds its own survivors, then a few whole ones."""
    step, old, fresh, texts = rng.randint(0, 3), [], [], rng.choice(((0,), (0, 1, 3)))
    for place, count in ((old, rng.randint(0, 9)), (fresh, rng.randint(0, 5))):
        for _ in range(count):
            place += tokens_of(step, grid, rng.choice(texts))
            step += rng.choice((1, 1, 1, 2, 7))
    if not old and not fresh:
        fresh = tokens_of(step, grid, 1)
    count = max(rng.randint(0, len(old)), rng.randint(0, len(old)))
    return [[old[i] for i in sorted(rng.sample(range(len(old)), count))] + fresh for _ in range(heads)]


@st.composite
def views(draw, exact=True):
    """A random view; `note` and `scores` are left to the tests."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    grid = draw(st.sampled_from(GRIDS))
    labels = random_labels(rng, grid, draw(st.integers(1, 4)))
    dtype = draw(st.sampled_from((torch.float32, torch.bfloat16)))
    fresh = draw(st.sampled_from((None, None, 0, 1, 2, 3, 99)))
    return make_view(labels, grid, rng, dtype=dtype, exact=exact, fresh_steps=fresh)


@st.composite
def views_and_keep(draw, exact=True):
    """A random view and any number of slots to keep of it, zero and all included."""
    view = draw(views(exact))
    dropped = draw(st.integers(0, view.slots) | st.integers(0, view.slots // 2))
    return view, view.slots - dropped


def as_cached(policy, view):
    """The view as the cache shows it at its first compaction: with the policy's note and scores."""
    noted = replace(view, note=policy.calibrate(view))
    scores = policy.rescore(noted)
    return replace(noted, scores=policy.on_step(view) if scores is None else scores)


def as_asked(policy, view, rng, exact=True):
    """The view with queries, where the policy needs some: up to four tokens, two query heads a key head."""
    if not policy.needs_queries:
        return view
    heads, _, dim = view.keys.shape
    shape = (2 * heads, min(policy.needs_queries, rng.randint(1, 4)), dim)
    if exact:
        return replace(view, queries=exact_tensor(shape, rng, (0, 1, 2), view.keys.dtype))
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    return replace(view, queries=torch.randn(shape, generator=generator).to(view.keys.dtype))


def of_heads(view, heads):
    """The same view with its heads re-ordered."""
    fields = {name: getattr(view, name)[heads] for name in ("keys", "values", "steps", "cells")}
    return replace(view, **fields, scores=None if view.scores is None else view.scores[heads])


def check_selection(kept, view, keep):
    """The contract of `Policy.select`."""
    assert kept.dtype == torch.long and kept.shape == (len(view.keys), keep) and kept.device == view.keys.device
    assert bool((kept[:, 1:] > kept[:, :-1]).all())
    assert keep == 0 or (int(kept.min()) >= 0 and int(kept.max()) < view.slots)


class Stream:
    """A cache simulated by gathers: whole steps come in, a policy's selections go out. Labels, keys, values, scores."""

    def __init__(self, policy, grid, budget, rng, heads=2, dim=4, exact=True, text=(0,)):
        self.policy, self.grid, self.budget, self.rng = policy, grid, budget, rng
        self.heads, self.dim, self.exact, self.text = heads, dim, exact, text
        self.view = None
        self.step = self.fresh = self.rounds = 0

    def incoming(self):
        """The next step as a view of its own."""
        labels = [tokens_of(self.step, self.grid, self.rng.choice(self.text))] * self.heads
        self.step += 1
        note = self.view.note if self.view else None
        arrived = make_view(labels, self.grid, self.rng, dim=self.dim, exact=self.exact, note=note)
        return replace(arrived, layer=1, num_layers=4, scores=self.policy.on_step(arrived))

    def push(self, check=lambda view, keep, kept: None):
        """Append one step; when it does not fit, compact first and show `check` what was seen and said."""
        arrived = self.incoming()
        if self.view is not None and self.view.slots + arrived.slots > self.budget:
            self.compact(min(int(0.75 * self.budget), self.budget - arrived.slots), check)
            if arrived.scores is not None:
                arrived = replace(arrived, note=self.view.note)
                arrived = replace(arrived, scores=self.policy.on_step(arrived))
        self.view = arrived if self.view is None else joined(self.view, arrived)
        self.fresh += 1

    def compact(self, keep, check):
        view = replace(self.view, fresh_steps=self.fresh)
        if view.note is None:
            view = replace(view, note=self.policy.calibrate(view))
            scores = self.policy.rescore(view)
            view = view if scores is None else replace(view, scores=scores)
        view = as_asked(self.policy, view, self.rng, self.exact)
        kept = self.policy.select(view, keep)
        check(view, keep, kept)
        self.view = gathered(view, kept)
        self.fresh, self.rounds = 0, self.rounds + 1


def joined(old, new):
    """Two views, one after the other."""
    fields = {name: torch.cat([getattr(old, name), getattr(new, name)], 1) for name in ("keys", "values")}
    for name in ("steps", "cells"):
        fields[name] = torch.cat([getattr(old, name).long(), getattr(new, name).long()], 1)
    scores = None if old.scores is None else torch.cat([old.scores, new.scores], 1)
    return replace(old, **fields, scores=scores)


def gathered(view, kept):
    """The view after a compaction."""
    rows = torch.arange(len(kept))[:, None]
    fields = {name: getattr(view, name)[rows, kept] for name in ("keys", "values", "steps", "cells")}
    return replace(view, **fields, scores=None if view.scores is None else view.scores[rows, kept])
