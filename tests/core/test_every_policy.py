"""What every policy owes inside a session, over several compactions; a new one is checked here without a new line.

Two families: one with M-RoPE and nothing but pictures in the stream, one with text between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from infinipot_v import Decoding, Frame, KVView, Session, make_policy, policy_names
from infinipot_v.policies import policy_class
from tests.core.test_cache import memory_bytes, same
from tests.core.test_exactness import recorded
from tests.families import small_session
from tests.oracle.attention import logits_of, masked
from tests.oracle.recording import Recording
from tests.oracle.registry import differing

CASES = [(name, family) for name in policy_names() for family in ("qwen2_vl", "smolvlm")]
SHORT = Decoding(max_new_tokens=4)


@dataclass
class Run:
    """A session that has watched 24 steps inside 10 and answered, what it ran, and every selection of its policy."""

    session: Session
    logits: Tensor
    recording: Recording
    selections: list[tuple[KVView, int, Tensor]]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def run(request, loaded) -> Run:
    name, family = request.param
    selections: list[tuple[KVView, int, Tensor]] = []
    heads = loaded(family).hf.config.get_text_config().num_key_value_heads
    session = session_of(loaded(family), watched(name, selections, heads))
    logits, recording = recorded(session, frames_of(session))
    return Run(session, logits, recording, selections)


def watched(name: str, selections: list[tuple[KVView, int, Tensor]], heads: int) -> Any:
    """The policy of that name; what it is shown and says is written down, layer by layer of `heads` heads."""

    class Watched(policy_class(name)):  # type: ignore[misc]
        by_head = policy_class(name).by_head

        def select(self, view: KVView, keep: int) -> Tensor:
            kept = super().select(view, keep)
            for index, chosen in enumerate(kept.split(heads)):
                rows = slice(index * heads, (index + 1) * heads)
                tensors = {key: value for key, value in vars(view).items() if isinstance(value, Tensor)}
                mine = {key: value if key == "queries" else value[rows].clone() for key, value in tensors.items()}
                selections.append((replace(view, **mine, layer=view.layer + index), keep, chosen.clone()))
            return kept

    return Watched()


def session_of(model, policy) -> Session:
    return small_session(model, 10, policy, block=3, positions="original")


def frames_of(session):
    """No picture twice: to layers that know no time it would be the same, and rounding would choose between the two."""
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 255, (24 * session.model.frames_per_step, 90, 140, 3), dtype=np.uint8)
    return [Frame(picture, float(second)) for second, picture in enumerate(pictures)]


def parts_of(frames, size) -> Iterator[list]:
    return (frames[start : start + size] for start in range(0, len(frames), size))


def test_the_kept_sets_are_those_of_the_loop_version(run):
    """In the cache's own views, after several compactions. Rounding may choose between near-ties: text repeats itself,
    and neither values nor norms of keys in the first layer know its time."""
    policy, last = run.session.cache.policy, run.selections[-len(run.session.cache.capped_layers) :]
    assert [view.layer for view, _, _ in last] == list(range(len(last)))
    assert sum(differing(policy, *selection) for selection in last) <= 0.01 * sum(kept.numel() for _, _, kept in last)
    assert last or not policy.bounded


def test_logits_after_eviction_equal_a_masked_full_cache(run):
    model, recording = run.session.model, run.recording
    positions = recording.positions
    assert (run.logits - logits_of(model, recording, masked(recording), positions)).abs().max() <= 1e-5
    plain = logits_of(model, recording, None, positions)
    evicted = run.session.cache.policy.bounded
    assert not evicted or (run.logits - plain).abs().max() > 1e-2, "the comparison must be able to fail"


def test_what_is_held_is_what_was_kept(run):
    """Steps and cells on the slots follow the selections, from the first view to the last."""
    layers = run.session.cache.capped_layers
    for index, layer in enumerate(layers):
        mine = [(view, kept) for view, _, kept in run.selections if view.layer == index]
        for (view, kept), (after, _) in pairwise(mine):
            for name in ("steps", "cells"):
                survivors = getattr(view, name).gather(1, kept)
                assert torch.equal(getattr(after, name)[:, : kept.shape[1]], survivors)
        for view, kept in mine[-1:]:
            assert torch.equal(layer.store.steps[:, : kept.shape[1]], view.steps.gather(1, kept))


@pytest.mark.parametrize(("name", "family"), CASES)
def test_the_cap_holds_asking_leaves_no_trace_and_two_runs_are_equal(loaded, name, family):
    """One session is asked after every piece it watches, the other never: they end bit for bit the same."""
    asked, silent = (session_of(loaded(family), make_policy(name)) for _ in range(2))
    frames, answers = frames_of(asked), []
    for part in parts_of(frames, 6 * asked.model.frames_per_step):
        for session in (asked, silent):
            session.watch(iter(part))
            session.cache.check_integrity()
            report = session.report()
            assert report.nbytes == report.cap_bytes and report.held_tokens <= session.cache.stream_slots
            assert not session.cache.policy.bounded or report.held_tokens <= report.budget_tokens
        before = memory_bytes(asked.cache)
        answers += [asked.ask("What is it?", remember=False, decoding=SHORT).text for _ in range(2)]
        assert answers[-1] == answers[-2]
        assert same(before, memory_bytes(asked.cache))
    assert asked.report().compressions >= 5 or not asked.cache.policy.bounded
    assert same(memory_bytes(asked.cache), memory_bytes(silent.cache))
    assert asked.cache.counters == silent.cache.counters and asked.cache.notes == silent.cache.notes
