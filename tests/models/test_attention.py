"""Grouped attention against transformers' own, and that it repeats nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from infinipot_v import Budget, Session, load_model
from infinipot_v.models.attention import NAME, additive_mask, grouped_attention
from tests.core.test_cap import LiveBytes
from tests.families import FAMILIES
from tests.plain import noise_frames

HEADS, KV_HEADS, DIM = 6, 2, 8
LAYER = SimpleNamespace(num_key_value_groups=HEADS // KV_HEADS, is_causal=True)


def tensors(queries: int, slots: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(queries + slots)
    shapes = ((HEADS, queries), (KV_HEADS, slots), (KV_HEADS, slots))
    return [torch.randn(1, heads, n, DIM, generator=generator).to(dtype) for heads, n in shapes]


def masks(queries: int, slots: int, dtype=torch.float32):
    """What transformers makes for a cache of slots, as it takes it and as ours does."""
    allowed = torch.arange(slots)[None, :] <= torch.arange(slots - queries, slots)[:, None]
    return allowed[None, None], additive_mask(1, queries, slots, slots - queries, 0, dtype=dtype)


@pytest.mark.contract
@pytest.mark.parametrize(("queries", "slots"), [(1, 40), (5, 40), (17, 17), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_transformers_own(queries, slots, dtype):
    query, key, value = tensors(queries, slots, dtype)
    stock, ours = masks(queries, slots, dtype)
    expected, _ = sdpa_attention_forward(LAYER, query, key, value, stock, scaling=0.3)
    got, weights = grouped_attention(LAYER, query, key, value, ours, scaling=0.3)
    torch.testing.assert_close(got, expected, atol=1e-6 if dtype is torch.float32 else 0.02, rtol=0)
    assert weights is None and got.shape == (1, queries, HEADS, DIM) and got.is_contiguous()


@pytest.mark.contract
def test_the_first_prefill_is_causal_without_a_mask():
    query, key, value = tensors(9, 9)
    assert additive_mask(1, 9, 9) is None
    expected, _ = sdpa_attention_forward(LAYER, query, key, value, None, scaling=0.3)
    got, _ = grouped_attention(LAYER, query, key, value, None, scaling=0.3)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


@pytest.mark.contract
def test_a_mask_for_each_head_goes_to_transformers():
    query, key, value = tensors(3, 12)
    allowed = torch.rand(1, HEADS, 3, 12, generator=torch.Generator().manual_seed(1)) < 0.7
    allowed[..., 0] = True
    expected, _ = sdpa_attention_forward(LAYER, query, key, value, allowed, scaling=1.0)
    assert torch.equal(grouped_attention(LAYER, query, key, value, allowed, scaling=1.0)[0], expected)


def test_nothing_is_repeated():
    query, key, value = tensors(2, 4000)
    stock, ours = masks(2, 4000)
    with LiveBytes() as live:
        grouped_attention(LAYER, query, key, value, ours, scaling=1.0)
    with LiveBytes() as repeating:
        sdpa_attention_forward(LAYER, query, key, value, stock, scaling=1.0)
    repeated = 2 * (HEADS // KV_HEADS) * key.nbytes
    assert live.peak < key.nbytes // 10 and repeating.peak >= repeated


@pytest.mark.contract
@pytest.mark.parametrize("family", FAMILIES)
def test_is_in_force_where_heads_are_grouped(checkpoint, family):
    model = load_model(checkpoint(family), device="cpu")
    text = model.text_config
    grouped = text.num_key_value_heads < text.num_attention_heads
    assert text._attn_implementation == (NAME if grouped else "sdpa")
    vision = getattr(model.hf.config, "vision_config", None)
    assert vision is None or vision._attn_implementation == "sdpa"
    assert (
        load_model(checkpoint(family), device="cpu", attn_implementation="sdpa").text_config._attn_implementation
        == "sdpa"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_session_is_the_same_under_either(checkpoint, family):
    answers = []
    for implementation in ("auto", "sdpa"):
        model = load_model(checkpoint(family), device="cpu", attn_implementation=implementation)
        session = Session(model, Budget(tokens=40), block=2)
        session.watch(iter(noise_frames(24, height=56, width=84)))
        layers = session.cache.capped_layers
        answers.append((session.report().compressions, [layer.store.stream() for layer in layers]))
    assert answers[0][0] == answers[1][0] > 1
    for ours, theirs in zip(answers[0][1], answers[1][1], strict=True):
        assert torch.equal(ours[2], theirs[2]) and torch.equal(ours[3], theirs[3])
        torch.testing.assert_close(ours[1], theirs[1], atol=1e-4, rtol=0)
