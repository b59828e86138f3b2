"""What is deliberately broken fails, and the words name it."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from infinipot_v import CappedCache, load_model
from infinipot_v.cache.bank import Bank
from infinipot_v.cache.cost import MemoryCost
from infinipot_v.cache.slots import SlotStore
from infinipot_v.verify.checks import run_check
from tests.families import FAMILIES
from tests.verify import subjects
from tests.verify.subjects import subject_of

WRONG = {
    "positions_shifted": {"positions": "step 0, token 0 differs from transformers' by +1", "logits": "by +1"},
    "mean_wrong": {"pixels": "red is -", "pixels resized": "a wrong mean", "logits": "embeddings"},
    "cells_shifted": {"cells": "the pixels of cell (0, 0) of step 2 show in the slot of cell (0, 1) of step 2"},
    "steps_swapped": {"pixels": "pictures", "steps": "of other steps"},
    "filter_wrong": {"pixels resized": "grey levels from PIL"},
    "colours_swapped": {"pixels": "other colours"},
    "prompt_wrong": {"prompt": "text token"},
}
"""How an adapter is broken, the checks that must fail, and what they must say."""


@pytest.fixture(scope="module")
def models(checkpoint):
    return {family: (load_model(checkpoint(family), device="cpu"), checkpoint(family)) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", WRONG)
def test_a_broken_adapter_fails_and_is_named(models, family, how):
    right, folder = models[family]
    model = getattr(subjects, how)(right)
    subject = subject_of(model, folder, steps=4)
    for name, says in WRONG[how].items():
        finding = run_check(name, subject)
        assert finding.passed is False, (name, finding)
        assert says in finding.detail, (name, finding)


@pytest.mark.parametrize("how", ["positions_shifted", "mean_wrong", "cells_shifted"])
def test_half_precision_hides_nothing(checkpoint, how):
    folder = checkpoint("qwen2_vl")
    model = getattr(subjects, how)(load_model(folder, device="cpu", dtype="bfloat16"))
    subject = subject_of(model, folder, steps=4)
    name, says = next(iter(WRONG[how].items()))
    finding = run_check(name, subject)
    assert finding.passed is False and says in finding.detail


@pytest.mark.parametrize("family", ["qwen2_vl", "internvl"])
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda right, ids, places, cache: right(ids, places, cache).roll(1), "chosen from differ"),
        (lambda right, ids, places, cache: -right(ids, places, cache), "chosen from differ"),
        (lambda right, ids, places, cache: right(ids, places + (len(ids) == 1), cache), "positions of an answer's"),
    ],
)
def test_answers_decoded_wrongly_are_seen(models, family, broken, says, monkeypatch):
    model, folder = models[family]
    right = type(model).next_logits
    assert run_check("next tokens", subject_of(model, folder, steps=4)).passed
    monkeypatch.setattr(type(model), "next_logits", lambda self, *given: broken(partial(right, self), *given))
    finding = run_check("next tokens", subject_of(model, folder, steps=4))
    assert finding.passed is False and says in finding.detail, finding


@pytest.fixture
def subject(models):
    model, folder = models["qwen2_vl"]
    return subject_of(model, folder)


def test_answers_that_are_not_rolled_back_leave_a_trace(subject, monkeypatch):
    monkeypatch.setattr(CappedCache, "rollback", lambda self: None)
    finding = run_check("no trace", subject)
    assert finding.passed is False and "leaves a trace" in finding.detail


def test_a_wrong_cap_is_seen(subject, monkeypatch):
    right = MemoryCost.cap
    monkeypatch.setattr(MemoryCost, "cap", lambda self, *arguments: right(self, *arguments) + 64)
    finding = run_check("cap", subject)
    assert finding.passed is False and finding.figure == 64 and "by the published formula" in finding.detail


def test_a_memory_above_its_cap_is_seen(subject, monkeypatch):
    right = MemoryCost.cap
    monkeypatch.setattr(MemoryCost, "cap", lambda self, *arguments: right(self, *arguments) - 64)
    finding = run_check("cap held", subject)
    assert finding.passed is False and "above its cap" in finding.detail


def test_buffers_that_are_allocated_anew_are_seen(subject, monkeypatch):
    right = Bank.compact

    def reallocating(self, kept):
        right(self, kept)
        self.layers[-1].store.keys = self.layers[-1].store.keys.clone()

    monkeypatch.setattr(Bank, "compact", reallocating)
    finding = run_check("cap held", subject)
    assert finding.passed is False and "anew" in finding.detail


def test_a_compaction_that_moves_wrong_slots_is_seen(subject, monkeypatch):
    right = SlotStore.compact

    def off_by_one(self, kept):
        right(self, (kept + 1).clamp(max=self.held - 1))

    monkeypatch.setattr(SlotStore, "compact", off_by_one)
    for name, says in {"eviction": "logits differ", "labels": "say another step or cell"}.items():
        finding = run_check(name, subject)
        assert finding.passed is False and says in finding.detail


def test_an_unsteady_adapter_is_seen(models):
    model, folder = models["qwen2_vl"]
    finding = run_check("repeatable", subject_of(subjects.unsteady(model), folder))
    assert finding.passed is False and "differ" in finding.detail


def test_logits_that_are_not_numbers_are_seen(models):
    model, folder = models["qwen2_vl"]
    torn = subjects.broken(model, next_logits=lambda self, logits, *_: logits * torch.nan)
    finding = run_check("finite", subject_of(torn, folder, steps=4))
    assert finding.passed is False and "NaN" in finding.detail
