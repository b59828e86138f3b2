"""`infinipot-v models`: every registered family, and that nobody has verified anything on real weights."""

from __future__ import annotations

import json

from tests.families import FAMILIES


def test_every_family_is_listed(run):
    code, out, err = run("models", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [model["family"] for model in found["models"]] == list(FAMILIES)
    for model in found["models"]:
        assert model["token_bytes"] > 0 and "not verified on real weights by anybody" in model["status"]
    assert any("indexed" in refusal["kind"] for refusal in found["refused"])
    assert all(refusal["reason"] for refusal in found["refused"])


def test_the_list_can_be_read(run):
    code, out, err = run("models")
    assert (code, err) == (0, "")
    assert all(family in out for family in FAMILIES)
    assert "120 tokens for two frames; 56 KiB of KV a token" in out and "refused" in out
    assert max(map(len, out.splitlines())) <= 80
