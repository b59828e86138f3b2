"""Memory by tokens seen: what is counted, what running out means, and streams without a vision tower."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import UserError
from infinipot_v.bench import memory
from infinipot_v.bench.feeding import Feed, imagined
from infinipot_v.bench.meter import Meter, fits, out_of_memory

CPU = torch.device("cpu")


def test_ours_stays_and_the_full_cache_grows(subject, pages):
    notebook, row, result = pages
    memory.measure(subject(), notebook)
    ours = [row(f"ours-96/{seen}/nbytes").median for seen in (60, 120, 240)]
    full = [row(f"full/{seen}/nbytes").median for seen in (60, 120, 240)]
    assert len(set(ours)) == 1 and ours[0] <= row("ours-96/cap_bytes").median
    assert row("ours-48/cap_bytes").median < ours[0] < full[1] < full[2] and full[0] < full[1]
    assert row("ours-96/240/nbytes").note.startswith("240 tokens seen, 88 held, 9 comp")
    assert row("full/240/nbytes").note == "240 tokens seen, 240 held, 0 compactions"
    for name in ("one-shot-last-logits", "one-shot-all-logits", "chunked", "full", "ours-48"):
        assert row(f"{name}/120/peak").median > 0 and row(f"{name}/120/held").median > 0
    assert result.ratios == {}, "a resident set says nothing about one contender"
    grown = [row(f"chunked/{seen}/nbytes").median for seen in (60, 120, 240)]
    assert row("chunked/240/nbytes").note == "240 tokens seen, 240 held, 0 compactions"
    assert (grown[2] - grown[1]) / (240 - 112) == (grown[1] - grown[0]) / (112 - 48) > 0


class Counted(Meter):
    """An allocator whose peak is 100 bytes more with every reading."""

    kind = "allocator"  # type: ignore[assignment]
    reading = 1000

    @property
    def held(self) -> int:
        return 1000

    @property
    def peak(self) -> int:
        Counted.reading += 100
        return Counted.reading


def test_ratios_leave_the_weights_out(subject, pages, monkeypatch):
    notebook, _, result = pages
    monkeypatch.setattr(memory, "Meter", Counted)
    memory.measure(subject(), notebook)
    # ours read 1100, 1200, 1300; the next contender 1400, 1500, 1600; weights are 1000
    assert result.ratios["s/m/60, peak of one-shot-last-logits over ours-96 without weights"] == 4
    assert result.ratios["s/m/240, peak of one-shot-last-logits over ours-96 without weights"] == 2
    assert len(result.ratios) == 4 * 3 + 2, "the half budget is not run to the end"


def test_out_of_memory_is_a_result(subject, pages, monkeypatch):
    notebook, row, _ = pages
    forward = memory._forward

    def too_much(subject, tokens, logits):
        if logits == 0 and tokens > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(subject, tokens, logits)

    monkeypatch.setattr(memory, "_forward", too_much)
    memory.measure(subject(), notebook)
    assert row("one-shot-all-logits/60/peak").median is not None
    for seen in (120, 240):
        missing = row(f"one-shot-all-logits/{seen}/peak")
        assert missing.median is None and missing.note == "out of memory"
    assert row("ours-48/120/peak").median is not None, "the next contender goes on"


def test_what_counts_as_out_of_memory():
    def cap():
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        except RuntimeError as error:
            raise UserError("a cap of 80.0 GB cannot be allocated here") from error

    assert fits(cap, CPU) is None
    assert fits(lambda: 3, CPU) == 3
    assert out_of_memory(MemoryError()) and not out_of_memory(RuntimeError("shapes differ"))
    for error in (RuntimeError("shapes differ"), UserError("too long")):
        with pytest.raises(type(error), match=str(error)):
            fits(lambda error=error: (_ for _ in ()).throw(error), CPU)


def test_the_full_cache_starts_where_its_doublings_fit():
    start = memory.full_tokens((5_000, 25_000, 50_000, 100_000))
    assert start * 16 == pytest.approx(100_000, rel=0.001) and start * 16 >= 100_000 and start >= 5_000
    assert memory.label(5_000) == "5K" and memory.label(240) == "240"


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision", "smolvlm"])
def test_imagined_pictures_lie_where_real_ones_do(subject, family):
    small = subject(family)
    frames = [frame for frame, _ in zip(small.frames(), range(3 * small.model.frames_per_step), strict=False)]
    real = small.model.encode(frames, small.canvas, 5)
    tower = next(c for c in small.model.hf.base_model.children() if c is not small.model.hf.get_decoder())
    ran = []
    tower.register_forward_pre_hook(lambda _m, _a: ran.append(1))
    model = imagined(small.model)
    found = [model.encode(frames, small.canvas, 5) for _ in range(2)][1]
    assert len(ran) == 1, "the tower runs for the first step, and never again"
    assert torch.equal(found.steps, real.steps) and torch.equal(found.cells, real.cells)
    assert found.seconds == real.seconds and found.embeddings.dtype == real.embeddings.dtype
    assert float(found.embeddings.std()) == pytest.approx(float(real.embeddings.std()), rel=0.3)
    assert not torch.equal(found.embeddings, real.embeddings)


@pytest.mark.parametrize("family", ["qwen2_vl", "smolvlm"])
def test_a_feed_never_passes_the_tokens_wanted(subject, family):
    small = subject(family)
    session = small.session(tokens=400)
    feed = Feed(small, session)
    for tokens in (50, 120, 300):
        feed.until(tokens)
        assert tokens - small.step_tokens < session.report().seen_tokens <= tokens


def test_positions_of_a_one_shot_are_the_streams(subject):
    small = subject()
    positions = memory._positions(small, 50)
    assert positions.shape == (3, 1, 48)
    assert positions[0, 0].tolist() == [step for step in range(3) for _ in range(16)]
