"""The catalogue walks the registry; its figures follow from public shapes and are checked by hand here."""

from __future__ import annotations

import json

import pytest

from infinipot_v.survey import catalogue
from tests.families import FAMILIES, FIXED

BY_HAND = {
    "qwen2_vl": (28, 4, 128, 120),
    "qwen2_5_vl": (28, 4, 128, 120),
    "llava_onevision": (28, 4, 128, 14 * 14),
    "llava_next_video": (32, 32, 128, 12 * 12),
    "internvl": (28, 4, 128, 16 * 16),
    "smolvlm": (24, 32, 64, 9 * 9),
}
"""Layers, KV heads, their width, and tokens a step: 720p in 8 x 15 cells for Qwen, else the checkpoint's grid."""


@pytest.fixture(scope="module")
def entries():
    return {entry.family: entry for entry in catalogue.entries(lambda family: f"status of {family}")}


def test_every_registered_family_is_there(entries):
    assert list(entries) == list(FAMILIES)
    assert all(entry.status == f"status of {family}" for family, entry in entries.items())


@pytest.mark.parametrize("family", BY_HAND)
def test_figures_by_hand(entries, family):
    layers, heads, dim, tokens = BY_HAND[family]
    entry = entries[family]
    assert entry.token_bytes == 2 * layers * heads * dim * 2
    assert entry.layers == {"full_attention": layers}
    assert entry.tokens_per_step == tokens
    assert entry.text_between_frames == (family in ("internvl", "smolvlm"))
    assert (entry.axes, entry.frames_per_step) == ((1, 1) if family in FIXED else (3, 2))
    assert "/" in entry.checkpoint
    json.dumps(vars(entry))


def test_streams_end_where_positions_end(entries):
    assert entries["qwen2_vl"].stream_minutes == pytest.approx(32768 * 2 / 60, rel=0.01)
    assert entries["qwen2_5_vl"].stream_minutes == pytest.approx(128000 / 2 / 60, rel=0.01)
    assert entries["llava_onevision"].stream_minutes is None


def test_a_family_without_public_shapes_is_shown_by_transformers_defaults():
    entry = catalogue.entry("mllama", "new")
    assert entry.checkpoint == catalogue.DEFAULTS and entry.tokens_per_step is None and entry.status == "new"
    assert entry.token_bytes > 0 and sum(entry.layers.values()) > 0


def test_what_is_refused_is_refused(checkpoint):
    """Indexed layers and windows beside compact positions, as the cache itself says."""
    from infinipot_v import Budget, CappedCache, UserError, load_model
    from infinipot_v.cache import layers

    assert not any("Indexed" in kind or "AndFullAttention" in kind for kind in layers._BOUNDED_KINDS)
    kinds = ["sliding_attention", *["full_attention"] * 3]
    windows = {"layer_types": kinds, "use_sliding_window": True, "sliding_window": 16}
    model = load_model(checkpoint("llava_onevision", text_config=windows), device="cpu")
    with pytest.raises(UserError, match="positions='original'"):
        CappedCache.from_model(model.hf, Budget(tokens=64), rotary=model.rotary())
    assert len(catalogue.REFUSED) >= 4
