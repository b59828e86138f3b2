"""Queries are taken only inside the `with`, over any attention, and nothing is left behind."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AttentionInterface

from infinipot_v import load_model
from infinipot_v.queries import recorded_queries
from tests.families import FAMILIES
from tests.oracle.attention import attending
from tests.plain import recorded_states

pytestmark = pytest.mark.contract


@pytest.fixture(params=FAMILIES)
def model(request, loaded):
    return loaded(request.param)


@torch.no_grad()
def run(model, ids, start=0):
    """Run token ids plainly; the last hidden states."""
    positions = torch.arange(start, start + len(ids)).expand(1 if model.family not in MROPE else 3, len(ids))
    positions = positions[:, None] if model.family in MROPE else positions
    with recorded_states(model) as states:
        model.hf.get_decoder()(inputs_embeds=model.embed(ids), position_ids=positions, use_cache=False)
    return states[0]


MROPE = ("qwen2_vl", "qwen2_5_vl")
IDS = list(range(3, 14))


def seen_by_the_oracle(model, ids):
    """Queries as an attention function of the tests is given them."""
    seen = {}

    def attention(layer, query, key, value, scaling):
        seen[layer] = query.clone()
        return torch.zeros_like(query) + query * 0.1

    with attending(model.hf, attention):
        states = run(model, ids)
    return seen, states


def test_the_last_queries_of_every_layer_equal_those_that_attention_is_given(model):
    seen, states = seen_by_the_oracle(model, IDS)

    def attention(layer, query, key, value, scaling):
        return torch.zeros_like(query) + query * 0.1

    with attending(model.hf, attention), recorded_queries(model.hf, last=4) as queries:
        assert torch.equal(run(model, IDS), states), "recording changes nothing"
    assert list(queries) == list(seen) == list(range(model.text_config.num_hidden_layers))
    assert all(torch.equal(queries[layer], seen[layer][:, -4:]) for layer in seen)
    assert queries[0].abs().max() > 0


@pytest.mark.parametrize("implementation", ["auto", "sdpa", "eager"])
def test_it_works_over_any_attention_and_leaves_nothing(model, checkpoint, implementation):
    model = load_model(checkpoint(model.family), device="cpu", attn_implementation=implementation)
    config, plain = model.text_config, run(model, IDS)
    before = copy.deepcopy(vars(config)), {name: set(vars(part)) for name, part in model.hf.named_modules()}
    with recorded_queries(model.hf, last=99) as queries:
        assert torch.equal(run(model, IDS), plain)
    taken = {layer: query.clone() for layer, query in queries.items()}
    run(model, IDS[:3])
    assert (vars(config), {name: set(vars(part)) for name, part in model.hf.named_modules()}) == before
    assert all(query.shape[1] == len(IDS) and torch.equal(query, queries[layer]) for layer, query in taken.items())


def test_several_runs_give_the_last_queries_of_all(loaded):
    model = loaded("qwen2_vl")
    with recorded_queries(model.hf, last=5) as queries:
        run(model, IDS[:8])
        first = queries[1].clone()
        run(model, IDS[8:], start=8)
    assert first.shape[1] == queries[1].shape[1] == 5
    assert torch.equal(queries[1][:, :2], first[:, -2:])
    with recorded_queries(model.hf, last=3) as alone:
        run(model, IDS[8:], start=8)
    assert torch.equal(queries[1][:, 2:], alone[1])


def test_one_inside_another_both_take_and_the_outer_goes_on(loaded):
    model, other = loaded("qwen2_vl"), loaded("internvl")
    before = [one.text_config._attn_implementation for one in (model, other)]
    with recorded_queries(model.hf, last=2) as outer:
        with recorded_queries(model.hf, last=3) as inner, recorded_queries(other.hf, last=1) as apart:
            run(model, IDS)
            assert apart == {}
            run(other, IDS)
        assert torch.equal(inner[0][:, 1:], outer[0]) and apart[0].shape[1] == 1
        run(model, IDS[:4])
        assert not torch.equal(inner[0][:, 1:], outer[0])
    assert [one.text_config._attn_implementation for one in (model, other)] == before


def test_a_failure_inside_leaves_nothing(loaded):
    model = loaded("qwen2_vl")
    before = model.text_config._attn_implementation

    class Stop(Exception):
        pass

    def failing(*_):
        raise Stop

    plain = run(model, IDS)
    with pytest.raises(Stop), attending(model.hf, failing), recorded_queries(model.hf, last=2):
        run(model, IDS)
    assert model.text_config._attn_implementation == before
    assert torch.equal(run(model, IDS), plain)


def test_an_attention_without_a_mask_gets_none(loaded):
    """As transformers does for an implementation that registers no mask of its own."""
    model, masks = loaded("qwen2_vl"), []
    before = model.text_config._attn_implementation

    def maskless(module, query, key, value, attention_mask, scaling, **_):
        masks.append(attention_mask)
        return query.transpose(1, 2).contiguous(), None

    AttentionInterface.register("maskless_for_a_test", maskless)
    model.text_config._attn_implementation = "maskless_for_a_test"
    try:
        with recorded_queries(model.hf, last=1):
            run(model, IDS)
    finally:
        model.text_config._attn_implementation = before
    assert masks and all(mask is None for mask in masks)
