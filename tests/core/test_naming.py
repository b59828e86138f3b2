"""What a cache is called: by the installed transformers, and by models of either kind."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from infinipot_v import cache_name, load_model
from tests.families import FAMILIES


@pytest.mark.contract
@pytest.mark.parametrize("family", FAMILIES)
def test_arguments_and_outputs_are_named_alike(checkpoint, family):
    model = load_model(checkpoint(family), device="cpu").hf
    ids = torch.tensor([[5]])
    for part in (model, model.get_decoder()):
        with torch.no_grad():
            output = part(input_ids=ids, use_cache=True)
        assert cache_name(part) == cache_name(model)
        assert cache_name(part) in {field.name for field in fields(output)}
        assert output[cache_name(part)].get_seq_length() == 1


def test_the_signature_decides():
    class New:
        def forward(self, input_ids, cache=None): ...

    class Old:
        def forward(self, input_ids, past_key_values=None, use_cache=None): ...

    class Silent:
        def forward(self, *args, **kwargs): ...

    assert [cache_name(kind()) for kind in (New, Old, Silent)] == ["cache", "past_key_values", "past_key_values"]
