"""The same promises on a GPU; skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import Budget, Decoding, Session, load_model, make_policy
from tests.core.test_cache import memory_bytes, same
from tests.families import FAMILIES, ODD, small_session
from tests.plain import looped_positions, noise_frames, plain_inputs, streamed_logits

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
QUESTION = "What is on the table?"


@pytest.mark.parametrize(("family", "odd"), ODD)
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-4), ("bfloat16", 0.25)])
@pytest.mark.parametrize("positions", ["original", "compact"])
def test_streamed_logits_equal_the_plain_forward(checkpoint, family, odd, dtype, most, positions):
    model, count = load_model(checkpoint(family), device="cuda", dtype=dtype), 12 + odd
    frames = noise_frames(count)
    session = small_session(model, 20, block=3, positions=positions)
    streamed = streamed_logits(session, frames, QUESTION)
    inputs = {name: value.cuda() for name, value in plain_inputs(session, frames, QUESTION, 1.0).items()}
    inputs["position_ids"] = looped_positions(session, count, streamed.shape[0], 1.0).cuda()
    with torch.no_grad():
        plain = model.hf(**inputs).logits[0]
    assert (streamed - plain).abs().max() <= most
    assert torch.nn.functional.cosine_similarity(streamed.float(), plain.float()).min() > 0.99


@pytest.mark.parametrize("policy", ["infinipot-v", "infinipot-v-code", "uniform", "random", "sliding-window"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_compacted_memory_on_the_gpu(checkpoint, family, policy, dtype):
    model = load_model(checkpoint(family), device="cuda", dtype=dtype)
    session = small_session(model, 8.3, make_policy(policy), positions="compact")
    session.watch(iter(noise_frames(90)))
    session.cache.check_integrity()
    assert session.report().compressions > 5
    assert session.report().nbytes == session.report().cap_bytes
    before = memory_bytes(session.cache)
    one, two = (session.ask("What?", remember=False, decoding=Decoding(max_new_tokens=8)).text for _ in range(2))
    assert one == two
    assert same(before, memory_bytes(session.cache))


def test_the_gpu_keeps_what_the_cpu_keeps(checkpoint):
    kept = []
    for device in ("cpu", "cuda"):
        session = Session(load_model(checkpoint("qwen2_vl"), device=device), Budget(tokens=50), tokens_per_step=8)
        session.watch(iter(noise_frames(60)))
        kept.append([(layer.store.steps.cpu() * 100 + layer.store.cells.cpu()) for layer in session.cache._capped])
    shares = [
        len(set(a[:50].tolist()) & set(b[:50].tolist())) / len(set(a[:50].tolist()))
        for cpu, cuda in zip(*kept, strict=True)
        for a, b in zip(cpu, cuda, strict=True)
    ]
    assert sum(shares) / len(shares) > 0.95, "float32 rounding may swap near-ties and no more"
