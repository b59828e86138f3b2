"""The record that is sent, the ledger of those that came, and the page that lists them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infinipot_v import load_model
from infinipot_v.models import family_names
from infinipot_v.verify import ledger
from infinipot_v.verify.finding import Finding
from infinipot_v.verify.record import Occasion, passed, record_of
from tests.verify.subjects import subject_of

DOCS = Path(__file__).parents[2] / "docs" / "verified.md"


@pytest.fixture
def report(checkpoint):
    folder = checkpoint("qwen2_vl")
    findings = [
        Finding("logits", True, 1e-6, 1e-4, "fine", 0.1),
        Finding("pixels", None, None, None, f"skipped: {folder} has no eyes"),
    ]
    return record_of(subject_of(load_model(folder, device="cpu"), folder), findings, Occasion("Ada", "made here", 3.14))


def test_a_record_says_what_was_checked_and_names_no_folder(report, checkpoint):
    folder = checkpoint("qwen2_vl")
    assert str(folder.parent) not in json.dumps(report)
    assert report["passed"] is True and report["family"] == "qwen2_vl" and report["checkpoint"] == folder.name
    assert report["dtype"] == "float32" and report["device"] == "cpu" and report["by"] == "Ada"
    assert re.fullmatch("[0-9a-f]{64}", report["config_sha256"])
    assert set(report["versions"]) >= {"infinipot-v", "torch", "transformers", "python"}
    assert report["checks"][0] == {
        "name": "logits", "passed": True, "figure": 1e-6, "tolerance": 1e-4, "detail": "fine", "seconds": 0.1,
    }  # fmt: skip
    assert report["checks"][1]["detail"] == f"skipped: {folder.name} has no eyes"
    assert report["numbers"] > 200_000


def test_a_skipped_check_is_no_failure_and_a_failed_one_is():
    right, skipped, wrong = (Finding("a", verdict, None, None, "") for verdict in (True, None, False))
    assert passed([right, skipped]) and not passed([right, wrong])


def test_the_page_is_made_from_the_ledger():
    assert ledger.table() in DOCS.read_text(encoding="utf-8")


def test_nobody_has_verified_anything_yet():
    assert ledger.reports() == []
    assert all("not verified on real weights by anybody" in ledger.status(family) for family in family_names())
    assert "Nobody" in ledger.table()


def test_a_report_that_passed_is_listed_and_one_that_failed_is_not(report, tmp_path, monkeypatch):
    failed = {**report, "passed": False, "checkpoint": "other/one"}
    path = tmp_path / "verified.json"
    path.write_text(json.dumps({"reports": [report, failed]}))
    monkeypatch.setattr(ledger, "LEDGER", path)
    assert ledger.status("qwen2_vl").endswith(f"verified on real weights: {report['checkpoint']} by Ada")
    assert "anybody yet" in ledger.status("smolvlm")
    lines = ledger.table().splitlines()
    assert len(lines) == 3 and "| Ada |" in lines[2] and "| 1 of 2 |" in lines[2] and "other/one" not in lines[2]
