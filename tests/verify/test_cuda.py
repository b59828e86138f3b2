"""The same checks on a GPU; skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import load_model
from infinipot_v.verify.checks import run_check, run_checks
from tests.families import FAMILIES
from tests.verify import subjects
from tests.verify.subjects import subject_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_right_checkpoint_passes(checkpoint, family, dtype):
    folder = checkpoint(family)
    subject = subject_of(load_model(folder, device="cuda", dtype=dtype), folder)
    assert [finding for finding in run_checks(subject) if finding.passed is False] == []


@pytest.mark.parametrize("how", ["positions_shifted", "mean_wrong", "cells_shifted"])
def test_a_broken_adapter_fails(checkpoint, how):
    folder = checkpoint("qwen2_5_vl")
    model = getattr(subjects, how)(load_model(folder, device="cuda", dtype="bfloat16"))
    name = {"positions_shifted": "positions", "mean_wrong": "pixels", "cells_shifted": "cells"}[how]
    assert run_check(name, subject_of(model, folder, steps=4)).passed is False
