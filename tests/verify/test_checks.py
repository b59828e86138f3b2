"""Every check passes on every registered family, and what is skipped is said."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from infinipot_v import load_model
from infinipot_v.verify.checks import CHECKS, run_checks
from infinipot_v.verify.finding import CannotCheck
from infinipot_v.verify.plain import known_families
from tests.families import FAMILIES
from tests.verify.subjects import subject_of


def skipped_by_right(model) -> set[str]:
    """What may be skipped: the processor where there is no torchvision."""
    processor = {"prompt by the processor", "pixels by the processor"}
    right = set() if find_spec("torchvision") else processor
    return right if model.default_positions == "compact" else right | {"eviction by default"}


@pytest.mark.contract
@pytest.mark.parametrize("family", FAMILIES)
def test_a_right_checkpoint_passes(checkpoint, family):
    folder = checkpoint(family)
    subject = subject_of(load_model(folder, device="cpu"), folder)
    findings = list(run_checks(subject))
    assert [finding.name for finding in findings] == list(CHECKS)
    assert [finding for finding in findings if finding.passed is False] == []
    assert {finding.name for finding in findings if finding.passed is None} == skipped_by_right(subject.model)
    assert all(finding.detail for finding in findings)
    for finding in findings:
        assert finding.figure is None or finding.figure <= finding.tolerance


@pytest.mark.parametrize("family", ["smolvlm"])
def test_a_right_checkpoint_passes_in_half_precision(checkpoint, family):
    folder = checkpoint(family)
    subject = subject_of(load_model(folder, device="cpu", dtype="bfloat16"), folder)
    assert [finding for finding in run_checks(subject) if finding.passed is False] == []


def test_every_family_has_its_plain_side():
    assert set(known_families()) == set(FAMILIES)


def test_a_check_that_raises_has_failed_and_one_that_cannot_be_made_says_why(checkpoint, monkeypatch):
    folder = checkpoint("qwen2_vl")
    subject = subject_of(load_model(folder, device="cpu"), folder)

    def cannot(_subject):
        raise CannotCheck("needs a telescope")

    def breaks(_subject):
        raise ZeroDivisionError("by nothing\nat all")

    entered = []
    monkeypatch.setattr("infinipot_v.verify.checks.CHECKS", {"far": cannot, "broken": breaks})

    class At:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            entered.append(self.name)

        def __exit__(self, *_):
            entered.append("done")

    far, wrong = run_checks(subject, At)
    assert (far.passed, far.detail) == (None, "skipped: needs a telescope")
    assert (wrong.passed, wrong.detail) == (False, "fails: ZeroDivisionError: by nothing")
    assert entered == ["far", "done", "broken", "done"]


def test_checking_leaves_nothing_on_the_model(checkpoint):
    folder = checkpoint("qwen2_5_vl")
    model = load_model(folder, device="cpu")
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())
    before = (getattr(model.hf.model, "rope_deltas", None), model.text_config._attn_implementation, hooks)
    list(run_checks(subject_of(model, folder)))
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())
    assert (getattr(model.hf.model, "rope_deltas", None), model.text_config._attn_implementation, hooks) == before
