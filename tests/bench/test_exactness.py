"""The comparison with plain Hugging Face: near zero in float32 for every family, and able to fail."""

from __future__ import annotations

import pytest
import torch

from infinipot_v.bench import exactness
from infinipot_v.bench.subject import Subject
from infinipot_v.models import family_names
from infinipot_v.session import Session


@pytest.mark.contract
@pytest.mark.parametrize("family", family_names())
def test_every_family_is_exact_in_float32(subject, pages, family):
    notebook, row, result = pages
    exactness.measure(subject(family), notebook)
    for positions in ("original", "compact"):
        for name in ("ours", "pieces", "ours-from-pieces"):
            assert row(f"{positions}/{name}/max-abs").median <= 1e-5
            assert row(f"{positions}/{name}/cosine").median >= 1 - 1e-9
            assert row(f"{positions}/{name}/argmax").median == 1
        assert row(f"{positions}/logits-std").median > 0.3, "logits without a spread would pass any comparison"
    assert result.ratios["s/m/original, max-abs of ours over pieces"] == pytest.approx(1, abs=0.5)


def test_a_memory_that_forgot_is_seen(subject, pages, monkeypatch):
    notebook, row, _ = pages
    small = subject()
    session_of = Subject.session

    def forgetful(self: Subject, **options: object) -> Session:
        return session_of(self, **{**options, "tokens": 40})

    monkeypatch.setattr(Subject, "session", forgetful)
    exactness.measure(small, notebook)
    assert row("original/ours/max-abs").median > 1e-2
    assert row("original/pieces/max-abs").median <= 1e-5, "the yardstick does not know our cache"


def test_figures_of_two_logits():
    one = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    other = torch.tensor([[1.0, 2.0, 3.0], [2.0, 0.0, 0.0]])
    assert exactness.apart(one, other).tolist() == pytest.approx([2.0, 0.0, 0.5])
    assert exactness.apart(one, one).tolist() == pytest.approx([0.0, 1.0, 1.0])
