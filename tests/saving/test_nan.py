"""NaN and infinity: noticed before they are part of the memory, named by layer and step, and the memory survives."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import Session
from infinipot_v.cache.checks import NonFiniteError
from tests.families import FAMILIES
from tests.saving.memories import alike, opened, pictures


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("layer", [0, 1])
def test_the_memory_before_a_bad_block_survives(loaded, tmp_path, family, wrong, layer):
    model = loaded(family)
    size, path = model.frames_per_step, tmp_path / "day.ivm.safetensors"
    frames = pictures(22 * size)
    session, undisturbed = opened(model, block=2), opened(model, block=2)
    for one in (session, undisturbed):
        one.watch(iter(frames[: 16 * size]))
    assert session.report().compressions > 0
    named = model.hf.named_modules()
    values = [module for name, module in named if name.endswith("self_attn.v_proj") and "vision" not in name]
    hook = values[layer].register_forward_hook(lambda *call: call[2].index_fill(1, torch.tensor([1]), wrong))
    try:
        with pytest.raises(NonFiniteError, match=rf"in capped layer {layer} after step 15; the step was rolled back"):
            session.watch(iter(frames[16 * size : 18 * size]))
    finally:
        hook.remove()
    assert session.report().frames == 16 * size
    session.save(path)
    again = Session.load(path, model)
    for one in (session, undisturbed, again):
        one.watch(iter(frames[16 * size :]))
    assert alike([session, undisturbed, again])
