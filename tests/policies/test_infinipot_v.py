"""InfiniPot-V against the loop version, its invariants, and its memory."""

from __future__ import annotations

import json
import math
import random
import weakref
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from infinipot_v.policies.base import KVView
from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.policies.scores import van_scores
from infinipot_v.types import UserError
from tests.oracle import policies as oracle
from tests.policies.views import Stream, check_selection, make_view, many, of_heads, tokens_of, views, views_and_keep

LIMITS = (0.2113, 0.3571, 0.5219)
SHARES = st.sampled_from((0.0, 0.125, 0.29, 0.5, 0.75, 1.0))
POLICIES = st.builds(InfiniPotV, SHARES, SHARES, st.sampled_from(("adaptive", "off")), st.just(LIMITS))


def expected(policy, view, keep, van=None):
    kernel = oracle.kernel_of(view, LIMITS) if policy.pooling == "adaptive" else 1
    return oracle.infinipot_v(view, keep, policy.alpha, policy.recent, kernel, van)


@many
@given(views_and_keep(), POLICIES)
def test_equals_the_oracle(view_keep, policy):
    view, keep = view_keep
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    assert kept.tolist() == expected(policy, view, keep)


@many
@given(views_and_keep(), POLICIES, st.sampled_from((1, 3, 5, 7)))
def test_stored_scores_and_noted_kernels_are_used(view_keep, policy, kernel):
    view, keep = view_keep
    view = replace(view, note={"kernel": kernel})
    van = oracle.pooled_van(view, kernel)
    assert policy.select(view, keep).tolist() == expected(policy, view, keep, van)
    stored = replace(view, scores=policy.rescore(view), values=torch.zeros_like(view.values))
    assert policy.select(stored, keep).tolist() == expected(policy, view, keep, van)
    negated = [[-s if math.isfinite(s) else s for s in head] for head in van]
    other = replace(view, scores=torch.tensor(negated))
    assert policy.select(other, keep).tolist() == expected(policy, view, keep, negated)


@many
@given(views_and_keep(exact=False), POLICIES)
def test_invariants_on_real_numbers(view_keep, policy):
    view, keep = view_keep
    kept = policy.select(view, keep)
    check_selection(kept, view, keep)
    assert torch.equal(kept, policy.select(view, keep))
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(keep))
    assert torch.equal(policy.select(of_heads(view, order), keep), kept[order])
    newest = oracle.recent_steps(view, keep, policy.alpha, policy.recent)
    recent = torch.isin(view.steps, torch.tensor(newest, dtype=view.steps.dtype)) & (view.cells >= 0)
    assert int(recent.sum(1).max()) <= int(policy.alpha * keep)
    assert all(set(r.nonzero()[:, 0].tolist()) <= set(k.tolist()) for r, k in zip(recent, kept, strict=True))


@many
@given(views_and_keep(exact=False), SHARES)
def test_the_tar_share_is_met(view_keep, alpha):
    """The floor(alpha keep) - r p most distinct past tokens stay, whatever their values are."""
    view, keep = view_keep
    policy = InfiniPotV(alpha, recent=1.0)
    newest = oracle.recent_steps(view, keep, alpha, 1.0)
    if not newest or keep == view.slots:
        return
    picks = int(alpha * keep) - len(newest) * view.cells_per_step
    keys, _, steps, cells = oracle.rows(view)
    for h, kept in enumerate(policy.select(view, keep).tolist()):
        distinct = oracle.tar(keys[h], steps[h], cells[h], newest)
        ranked = sorted((s for s in distinct if s > -math.inf), reverse=True)[:picks]
        if ranked:
            assert sum(distinct[i] >= ranked[-1] - 1e-6 for i in kept) >= len(ranked)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("text", [(0,), (0, 1, 2)])
def test_fifty_compactions_in_a_row(exact, text):
    """Simulated by gathers. On real numbers float32 may swap near-ties, so there the scores kept are compared."""
    policy = InfiniPotV(alpha=0.5, recent=0.25, thresholds=LIMITS)
    stream = Stream(policy, (2, 3), 60, random.Random(7), exact=exact, text=text)

    def check(view, keep, kept):
        van = oracle.pooled_van(view, view.note["kernel"]) if stream.rounds == 0 else view.scores.tolist()
        assert torch.allclose(view.scores, torch.tensor(van), atol=1e-6, rtol=0)
        slots = oracle.infinipot_v(view, keep, 0.5, 0.25, None, van)
        assert kept.tolist() == slots if exact else overlap(kept.tolist(), slots) > 0.98

    while stream.rounds < 50:
        stream.push(check)


def overlap(a, b):
    return sum(len(set(x) & set(y)) for x, y in zip(a, b, strict=True)) / sum(map(len, a))


@many
@given(views(), POLICIES)
def test_arrival_scores(view, policy):
    raw = policy.on_step(view)
    norms = van_scores(view.values)
    assert torch.equal(raw, torch.where(view.cells >= 0, norms, -torch.inf))
    note = policy.calibrate(view)
    assert note["kernel"] == (oracle.kernel_of(view, LIMITS) if policy.pooling == "adaptive" else 1)
    assert note.get("variation") == pytest.approx(oracle.coefficient_of_variation(view), abs=1e-6)
    assert json.loads(json.dumps(note)) == note
    noted = replace(view, note=note)
    pooled = torch.tensor(oracle.pooled_van(view, note["kernel"]), dtype=torch.float32)
    assert torch.equal(policy.rescore(noted), pooled) and torch.equal(policy.on_step(noted), pooled)


def test_constant_and_zero_tensors_keep_the_newest():
    labels = [[token for step in range(4) for token in tokens_of(step, (2, 2), 0)]]
    view = make_view(labels, (2, 2), random.Random(0), fresh_steps=1)
    for fill in (0.0, 1.0):
        flat = replace(view, keys=torch.full_like(view.keys, fill), values=torch.full_like(view.values, fill))
        assert InfiniPotV().select(flat, 8).tolist() == [[8, 9, 10, 11, 12, 13, 14, 15]]


def test_without_recents_the_values_decide_alone():
    """No present to differ from: TaR picks nothing, though alpha > 0."""
    view = make_view([tokens_of(0, (1, 4), 0)], (1, 4), random.Random(0))
    view = replace(view, values=torch.tensor([[[4.0], [1.0], [3.0], [2.0]]]))
    assert InfiniPotV(alpha=1.0, pooling="off").select(view, 2).tolist() == [[0, 2]]


def test_text_is_worth_the_best_of_its_step():
    labels = [[(0, -1), (0, 0), (0, 1), (1, -1), (2, 0)]]
    view = make_view(labels, (1, 2), random.Random(0))
    view = replace(view, values=torch.tensor([[[9.0], [3.0], [1.0], [9.0], [2.0]]]))
    kept = [InfiniPotV(alpha=0, pooling="off").select(view, keep).tolist()[0] for keep in range(1, 5)]
    assert kept == [[1], [0, 1], [0, 1, 4], [0, 1, 2, 4]]


def test_text_is_never_a_tar_pick_even_when_the_past_has_fewer_tokens_than_picks():
    labels = [[(0, -1), (0, 0), (3, 0), (3, 1), (5, -1), (6, -1)]]
    view = make_view(labels, (1, 2), random.Random(0), fresh_steps=1)
    assert InfiniPotV(alpha=1.0, recent=1.0).select(view, 4).tolist() == [[0, 1, 2, 3]]


def test_the_number_of_recent_steps_counts_broken_steps_too():
    """r = floor(recent * slots / p), not of whole steps: 0.29 * 14 slots / 4 cells makes 1."""
    labels = [tokens_of(0, (2, 2), 0)[:2] + [token for step in range(1, 4) for token in tokens_of(step, (2, 2), 0)]]
    view = make_view(labels, (2, 2), random.Random(0), fresh_steps=3)
    view = replace(view, values=torch.tensor([[[9.0]] * 10 + [[1.0]] * 4]).view(1, 14, 1))
    assert InfiniPotV(0.5, 0.29, "off").select(view, 10).tolist()[0][-4:] == [10, 11, 12, 13]
    assert InfiniPotV(0.5, 0.28, "off").select(view, 10).tolist() == [list(range(10))]


def test_content_keys_are_compared_when_offered():
    """The keys lie rotated by their step; undone, the oldest token is the one that differs."""
    labels = [[(step, 0) for step in range(4)]]
    view = make_view(labels, (1, 1), random.Random(0), fresh_steps=1)
    keys = torch.tensor([[[0.0, 1], [0, 1], [1, 0], [1, 0]]])
    turns = torch.tensor([[0, 1, 0, 0]])
    view = replace(view, keys=keys, values=torch.ones(1, 4, 1))
    seen = []

    def content(some, steps):
        seen.append(some.shape[:2] == steps.shape)
        odd = turns.gather(1, steps.long())[..., None].bool()
        return torch.where(odd, some.flip(-1), some)

    offered = replace(view, content=content)
    assert InfiniPotV(1.0, 0.25, tar_keys="stored").select(offered, 2).tolist() == [[1, 3]]
    assert not seen
    assert InfiniPotV(1.0, 0.25, tar_keys="content").select(offered, 2).tolist() == [[0, 3]]
    assert seen and all(seen)
    assert InfiniPotV(1.0, 0.25, tar_keys="content").select(view, 2).tolist() == [[1, 3]]


class LiveBytes(TorchDispatchMode):
    """Sums the bytes of all storages that operations made and nobody has dropped yet."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_iter((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in given:
                storage = tensor.untyped_storage()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._drop, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return out

    def _drop(self, size):
        self.now -= size


@pytest.mark.parametrize("span", [48, 2000])
def test_the_transient_of_a_select_stays_small(span):
    """Rule 4 at 4 heads x 6,144 x 128 bf16 (6 MiB of keys): below 3 MiB, whole steps or scattered survivors."""
    heads, slots, dim, p = 4, 6144, 128, 128
    generator = torch.Generator().manual_seed(0)
    old, fresh = (span - 6) * p, torch.arange((span - 6) * p, span * p)
    picked = [torch.randperm(old, generator=generator)[: slots - 6 * p].sort().values for _ in range(heads)]
    index = torch.stack([torch.cat([head, fresh]) for head in picked])
    keys, values = torch.randn(2, heads, slots, dim, generator=generator).bfloat16()
    view = KVView(keys, values, (index // p).int(), (index % p).short(), (8, 16), 0, 28)
    with LiveBytes() as live:
        InfiniPotV(thresholds=(9, 9, 9)).select(view, 4608)
    assert 0 < live.peak < 3 * 2**20


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 1.5},
        {"alpha": "half"},
        {"alpha": math.nan},
        {"recent": -0.1},
        {"recent": True},
        {"pooling": "max"},
        {"tar_keys": "raw"},
        {"thresholds": (0.3, 0.2, 0.4)},
        {"thresholds": (0.1, 0.2)},
        {"thresholds": 3},
    ],
)
def test_bad_options_are_user_errors(options):
    with pytest.raises(UserError, match=f"^{next(iter(options))}="):
        InfiniPotV(**options)


def test_thresholds_may_come_as_a_list():
    assert InfiniPotV(thresholds=[0, 1, 2]) == InfiniPotV(thresholds=(0.0, 1.0, 2.0))


def test_who_overrides_select_is_shown_layers_unless_it_says_otherwise():
    class Renamed(InfiniPotV):
        pass

    class ByLayer(InfiniPotV):
        def select(self, view, keep):
            return super().select(view, keep - view.layer)

    class ByHead(InfiniPotV):
        by_head = True

        def select(self, view, keep):
            return super().select(view, keep)

    assert [policy.by_head for policy in (InfiniPotV, Renamed, ByLayer, ByHead)] == [True, True, False, True]
