"""Retrieval among the contenders of an evaluation."""

from __future__ import annotations

from fractions import Fraction

import pytest

from infinipot_v.evaluate.base import SHORT, Item, Manner
from infinipot_v.evaluate.contenders import Contender, contenders
from infinipot_v.evaluate.sharing import SharedVision
from infinipot_v.types import UserError
from tests.families import FAMILIES
from tests.plain import noise_frames
from tests.retrieval.sessions import resolution, step_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_it_watches_and_answers_and_says_that_it_holds_everything(loaded, family):
    model, steps = loaded(family), 16
    step = step_tokens(model)
    item, frames = Item("one", steps * step, step, ()), noise_frames(steps * model.frames_per_step)
    watchers = [
        Contender(policy, Fraction(1, 4)).watcher(SharedVision(model), item, Manner(resolution(model)))
        for policy in ("rekv", "full")
    ]
    for watcher in watchers:
        watcher.watch(frames[:-2])
        first = watcher.ask("What is it?")
        assert watcher.ask("What is it?").text == first.text
        watcher.watch(frames[-2:])
        watcher.ask("And now?")
    retrieval, full = watchers
    assert retrieval.held_tokens == full.held_tokens == sum(retrieval.session.cache.lengths)
    report = retrieval.session.report()
    assert retrieval.nbytes == report.kept_bytes + report.working_bytes > report.kept_bytes > 0
    assert report.window_tokens + retrieval.session.cache.fetchable_tokens <= steps * step / 4


@pytest.mark.parametrize(
    ("share", "window", "local", "blocks"),
    [
        (Fraction(1, 4), 0.5, 32, 4), (Fraction(1, 4), 0.25, 16, 6), (Fraction(1, 64), 0.5, 8, 1),
        (Fraction(1), 0.75, 192, 8),
    ],
)  # fmt: skip
def test_the_share_is_that_of_window_and_fetched_steps(loaded, share, window, local, blocks):
    item = Item("one", 256, 8, ())
    watcher = Contender(f"rekv+window={window}", share).watcher(loaded("qwen2_vl"), item, Manner(8))
    assert (watcher.session.cache.local, watcher.session.cache.blocks) == (local, blocks)
    assert watcher.session.decoding == SHORT


def test_options_reach_the_session(loaded, tmp_path):
    item = Item("one", 64, 4, ())
    watcher = Contender(f"rekv+positions=original+where={tmp_path}", Fraction(1, 2)).watcher(
        loaded("llava_onevision"), item, Manner(room=77)
    )
    watcher.watch(noise_frames(4))
    report = watcher.session.report()
    assert (report.where, report.room_tokens) == (str(tmp_path), 77) and "original" in report.policy
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.kv")) == report.kept_bytes > 0
    watcher.session.close()


def test_it_takes_part_at_every_share():
    shares = [Fraction(1, 2), Fraction(1, 8)]
    assert [c.fraction for c in contenders(["rekv", "full"], shares) if c.policy == "rekv"] == shares


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("rekv+windw=0.3", "did you mean"), ("rekv+window=1", "window=1"), ("rekv+window=no", "window='no'"),
        ("rekv+keep", "NAME=VALUE"),
        ("rekv+positions=hf", "original, compact"), ("rekw", "rekv"),
    ],
)  # fmt: skip
def test_bad_options_are_one_line(policy, says):
    with pytest.raises(UserError, match=says) as raised:
        Contender(policy)
    assert "\n" not in str(raised.value)
