"""What a memory holds is read whole: one number that changes anywhere is named."""

from __future__ import annotations

import pytest

from infinipot_v import Budget, Session, load_model
from infinipot_v.verify.trace import contents, difference
from tests.plain import noise_frames


@pytest.fixture
def session(checkpoint):
    session = Session(load_model(checkpoint("qwen2_vl"), device="cpu"), Budget(tokens=60), tokens_per_step=8)
    session.watch(iter(noise_frames(40)))
    return session


@pytest.mark.parametrize("name", ["keys", "values", "steps", "cells", "scores"])
@pytest.mark.parametrize("layer", [0, 3])
def test_one_number_that_changes_is_named(session, name, layer):
    before = contents(session)
    assert difference(before, contents(session)) == ""
    store = session.cache.capped_layers[layer].store
    buffer = getattr(store, name)
    buffer[(0, 1, 20, 3) if buffer.dim() == 4 else (1, 20)] += 1
    assert difference(before, contents(session)) == f"{name} of layer {layer} differ in 1 numbers"


def test_a_room_that_is_not_empty_and_a_turn_that_stays_are_named(session):
    before = contents(session)
    stream = session.stream("What?")
    next(stream)
    assert "room" in difference(before, contents(session)) or "length" in difference(before, contents(session))
    stream.close()
    assert difference(before, contents(session)) == ""
    session.ask("What?")
    assert difference(before, contents(session)).startswith("turns: [] before")
