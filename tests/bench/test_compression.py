"""One compaction, three ways: the control is the same method, and what is timed is what is said."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import UserError
from infinipot_v.bench import broadcast, compression
from infinipot_v.bench.compression import COMPRESS, GRID, Layer, LayerCase, Ours, layer_cases
from infinipot_v.bench.plan import Plan
from infinipot_v.bench.runner import begin, run
from infinipot_v.bench.timing import Deadline
from infinipot_v.policies.base import KVView
from infinipot_v.policies.infinipot_v import InfiniPotV
from infinipot_v.types import Grid

CPU = torch.device("cpu")


def labels(heads: int, steps: int, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    times = torch.arange(steps).repeat_interleave(cells).expand(heads, -1)
    return times, torch.arange(cells).repeat(steps).expand(heads, -1)


@pytest.mark.parametrize(("keep", "recent"), [(0.75, 0.125), (0.5, 0.25), (0.3, 0.0), (0.25, 0.5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_broadcast_form_keeps_what_we_keep(keep, recent, dtype):
    grid, heads, steps, dim = Grid(5, 6), 3, 16, 24
    generator = torch.Generator().manual_seed(7)
    keys, values = (torch.randn(heads, steps * 30, dim, generator=generator).to(dtype) for _ in range(2))
    values *= torch.rand(heads, steps * 30, 1, generator=generator).to(dtype)
    count, policy = int(keep * steps * 30), InfiniPotV(recent=recent)
    for kernel in (1, 3):
        view = KVView(keys, values, *labels(heads, steps, 30), grid, 0, 1, fresh_steps=steps, note={"kernel": kernel})
        expected = policy.select(view, count)
        kept_keys, kept_values, kept = broadcast.compress(keys, values, grid, count, recent, policy.alpha, kernel)
        assert torch.equal(kept, expected)
        assert torch.equal(kept_keys, keys[torch.arange(heads)[:, None], expected])
        assert torch.equal(kept_values, values[torch.arange(heads)[:, None], expected])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ours_is_one_real_compaction_of_the_same_layer(dtype):
    layer = Layer(LayerCase(2, 1024, 16), CPU, 2, Deadline())
    ours = Ours(layer, dtype, 0.5, 0.25)
    assert ours.cache.held_tokens == 1024 and ours.cache.counters.fresh_steps == 7 and ours.kernel == 5
    cold = torch.zeros(1, dtype=torch.uint8)
    for _ in range(2):  # the second one finds the full memory again
        assert ours.once(cold) > ours.policy.spent[-1] > 0
        assert ours.cache.held_tokens == 512 and ours.cache.counters.compressions == 2
    store = ours.cache.capped_layers[0].store
    keys, values = layer.vectors(dtype, 0), layer.vectors(dtype, 1)
    form = broadcast.compress(keys[0], values[0], GRID, 512, 0.25, ours.policy.alpha, ours.kernel)
    stored_keys, stored_values, steps, cells, _ = store.stream()
    assert torch.equal(steps.long() * GRID.tokens + cells.long(), form[2])
    assert torch.equal(stored_keys, form[0]) and torch.equal(stored_values, form[1])
    ours.arrive(512)


def test_rows_and_ratios():
    plan = Plan.of(COMPRESS, ("1x1024x8",), sizes=COMPRESS.quick)
    threads = torch.get_num_threads()
    result = begin(plan, None)
    assert run(plan, result) and result.settings["sizes"] == {"repeats": 2} and torch.get_num_threads() == threads
    rows = {row.name: row.median for row in result.rows}
    for measure in plan.bench.measures:
        part = f"1x1024x8/{measure}"
        names = ("broadcast", "ours", "arrival", "floor", "ours/select", "ours/move")
        assert all(rows[f"{part}/{name}"] > 0 for name in names)
        ours = result.ratios[f"{part}/broadcast over ours"]
        assert ours == pytest.approx(rows[f"{part}/broadcast"] / rows[f"{part}/ours"], rel=1e-4)
        assert result.ratios[f"{part}/broadcast over ours with arrivals"] < ours
        assert result.ratios[f"{part}/ours over floor"] > 0


@pytest.mark.parametrize("name", ["pocket", "4x12288", "4x12300x128", "4x512x128", "0x1024x8", "4x1024x0"])
def test_layers_that_are_none(name):
    with pytest.raises(UserError, match=r"write HEADSxSLOTSxDIM, the slots a multiple of 128"):
        layer_cases((name,))


def test_the_floor_copies_what_is_kept():
    keys, values = torch.randn(2, 8, 3), torch.randn(2, 8, 3)
    fresh = [torch.zeros(2, 5, 3) for _ in range(2)]
    compression._copy((keys, values), fresh)
    assert torch.equal(fresh[0], keys[:, :5]) and torch.equal(fresh[1], values[:, :5])
