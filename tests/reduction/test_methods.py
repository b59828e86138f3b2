"""Each reduction beside its loop version, and what is special about it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infinipot_v import Frame, UserError
from infinipot_v.reduction import make_reduction, reduction_names
from infinipot_v.reduction.base import Memo, Reduction, sketch
from tests.oracle import reduction as oracle

HIDDEN = 16
"""With entries of -1 and 1, norms and cosines are exact in float32: ties are ties."""


@st.composite
def streams(draw):
    """Embeddings `[steps, cells, hidden]` of -1 and 1; many a cell repeats the one before it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps, width, repeated = draw(st.integers(0, 19)), draw(st.integers(1, 12)), draw(st.sampled_from([0.0, 0.5, 0.95]))
    stream = random.choice([-1.0, 1.0], (steps, width, HIDDEN))
    for step in range(1, steps):
        same = random.random(width) < repeated
        stream[step, same] = stream[step - 1, same]
    return torch.tensor(stream, dtype=torch.float32)


def kept_cells(reduction: Reduction, stream: torch.Tensor) -> list[list[int]]:
    kept, memo = [], Memo()
    for step in stream:
        keep, memo = reduction.keep(step, memo)
        assert len(memo.steps) <= reduction.memo_steps
        kept.append(keep.nonzero()[:, 0].tolist())
    return kept


@settings(deadline=None, max_examples=60)
@given(streams(), st.sampled_from([0.0, 0.3, 0.7, 0.9, 0.99]))
def test_dycoke_is_the_loop(stream, pruned):
    assert kept_cells(make_reduction(f"dycoke:pruned={pruned}"), stream) == oracle.dycoke(stream.tolist(), pruned)


@settings(deadline=None, max_examples=60)
@given(streams(), st.integers(1, 9), st.sampled_from([-1.0, -0.3, 0.0, 0.45, 0.8, 1.0]))
def test_longvu_is_the_loop(stream, window, threshold):
    reduction = make_reduction(f"longvu:window={window}:threshold={threshold}")
    assert kept_cells(reduction, stream) == oracle.longvu(stream.tolist(), window, threshold)


def test_the_papers_settings():
    """K = 0.7 leaves 58 of 196 tokens in three of four frames; in a still scene STC leaves one frame of eight."""
    still = torch.ones(16, 196, HIDDEN)
    assert [len(cells) for cells in kept_cells(make_reduction("dycoke"), still)] == [196, 58, 58, 58] * 4
    assert [len(cells) for cells in kept_cells(make_reduction("longvu"), still)] == [196, *[0] * 7] * 2


def test_a_memo_does_not_change_with_the_tensor_it_came_from():
    stream = torch.ones(2, 4, HIDDEN)
    for name in ("dycoke", "longvu"):
        step, reduction = stream[0].clone(), make_reduction(name)
        _, memo = reduction.keep(step, Memo())
        step.zero_()
        assert torch.equal(memo.steps[0], stream[0])


def shown(frames, threshold):
    reduction, kept, last = make_reduction(f"near-duplicates:threshold={threshold}"), [], None
    for index, pixels in enumerate(frames):
        now = sketch(Frame(pixels, 0.0))
        if last is None or not reduction.repeats(now, last):
            kept.append(index)
            last = now
    return kept


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(5, 80), st.integers(5, 80), st.sampled_from([0.0, 0.9, 0.95, 0.99, 1.0]))
def test_near_duplicates_are_the_loop(seed, height, width, threshold):
    random = np.random.default_rng(seed)
    frames = [random.integers(0, 255, (height, width, 3), dtype=np.uint8)]
    for strength in (0, 1, 3, 30, 2, 90, 0, 5, 250):
        change = random.integers(-strength, strength + 1, (height, width, 3))
        frames.append(np.clip(frames[-1].astype(int) + change, 0, 255).astype(np.uint8))
    assert shown(frames, threshold) == oracle.near_duplicates(frames, threshold)


def test_near_duplicates_see_small_things_and_slow_changes():
    wall = np.full((96, 128, 3), 120, np.uint8)
    spot = wall.copy()
    spot[40:46, 60:66] = 10
    fading = [np.full_like(wall, 120 + step) for step in range(40)]
    assert shown([wall, wall, spot, wall], 0.95) == [0, 2, 3]
    assert shown(fading, 0.95) == [0, 13, 26, 39], "each is compared with the last one kept"
    assert shown([wall[:, ::-1], wall[::2, ::2]], 0.95) == [0], "views, and other sizes, are read too"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dycok", "did you mean 'dycoke'"),
        ("longvu:windw=3", "did you mean 'window'"),
        ("longvu:window", "NAME=VALUE"),
        ("longvu:window=0", "window=0"),
        ("longvu:threshold=2", "from -1 to 1"),
        ("dycoke:pruned=1", "below 1"),
        ("near-duplicates:threshold=98", "share"),
        (7, "no reduction"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(text, says):
    with pytest.raises(UserError, match=says) as error:
        make_reduction(text)
    assert "\n" not in str(error.value)


def test_names_and_instances():
    for name in reduction_names():
        reduction = make_reduction(name)
        assert reduction.name == name and make_reduction(reduction) is reduction
        assert reduction.of_frames != reduction.of_tokens
    assert make_reduction("longvu:window=4:threshold=0.5") == make_reduction("longvu:threshold=0.5:window=4")
