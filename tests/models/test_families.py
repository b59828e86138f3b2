"""What every family in the registry must have, found by walking the registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infinipot_v import load_model, testing
from infinipot_v.models import adapter_for
from tests.families import FAMILIES

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_its_adapter_its_tiny_checkpoint_and_its_page(family, checkpoint):
    assert family in testing.families()
    assert json.loads((checkpoint(family) / "config.json").read_text())["model_type"] == family
    assert adapter_for(family).family == family
    assert f"\n## `{family}`\n" in DOCS.read_text()


@pytest.mark.contract
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_and_fits_itself(family, checkpoint):
    model = load_model(checkpoint(family), device="cpu")
    assert type(model) is adapter_for(family)
    canvas = model.canvas(90, 140)
    assert canvas.grid == model.grid_of(canvas.pixels)
    assert 1 <= canvas.grid.tokens <= model.step_tokens(canvas)
    clock = model.clock(len(model.prompt.prefix()), canvas.grid)
    assert clock.next_text == len(model.prompt.prefix())
    assert clock.limit == model.position_limit
