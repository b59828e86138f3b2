"""`CappedCache` under plain `model.generate()`: the documented example, and that it is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from infinipot_v import Budget, Decoding, Session, cache_name, load_model
from tests.core.test_cache import memory_bytes, same
from tests.plain import noise_frames

ROOT = Path(__file__).parents[2]


@pytest.mark.contract
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_generate_reads_the_memory_and_writes_the_room(checkpoint, family):
    model = load_model(checkpoint(family), device="cpu")
    session = Session(model, Budget(tokens=40), tokens_per_step=8)
    session.watch(iter(noise_frames(30)))
    before = memory_bytes(session.cache)
    own = session.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=12))
    ids = torch.tensor([model.prompt.question(None, [], "What is it?")])
    slots = session.cache.get_seq_length()
    output = model.hf.generate(
        input_ids=ids,
        attention_mask=torch.ones(1, slots + ids.shape[1], dtype=torch.long),
        position_ids=session._at.clock.text_positions(ids.shape[1]),
        max_new_tokens=12,
        do_sample=False,
        **{cache_name(model.hf): session.cache},
    )
    session.cache.rollback()
    assert same(before, memory_bytes(session.cache))
    assert model.prompt.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True) == own.text


def test_the_documented_example_runs(checkpoint):
    example = ROOT / "examples" / "generate.py"
    assert len(example.read_text().splitlines()) <= 30
    done = subprocess.run(
        [sys.executable, example, checkpoint("qwen2_vl")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    assert "held 48 of 48" in done.stdout
