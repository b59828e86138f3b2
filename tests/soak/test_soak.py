"""Long proofs, run by `make soak`: 20,000 steps in flat memory. The record goes to results/soak.json."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from infinipot_v import Budget, Decoding, Frame, Session, load_model
from tests.core.test_cache import memory_bytes, same
from tests.core.test_cap import buffers, resident_bytes
from tests.soak.record import write_record

STEPS, SAMPLE_EVERY, PROBE_EVERY = 20_000, 500, 2_000
BUDGET_TOKENS, TOKENS_PER_STEP, BLOCK, POSITIONS = 128, 4, 8, 65_536
FIRST = BUDGET_TOKENS // TOKENS_PER_STEP + BLOCK
"""Steps after which exactly one compaction has taken place."""

GROWTH_LIMIT = 20e6
CONTROL_STEPS = 6_000
"""Enough for the full cache to grow past the limit: the measurement must be able to fail."""

QUESTION = "What is on the table?"


def stream(steps: int, seed: int = 0) -> Iterator[Frame]:
    """Noise at one frame a second, two frames a step; pictures come from a pool that is renewed, so some repeat."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 255, (64, 56, 56, 3), dtype=np.uint8)
    for index in range(2 * steps):
        if index % 4:
            pool[index % len(pool)] = rng.integers(0, 255, (56, 56, 3), dtype=np.uint8)
        yield Frame(pool[int(rng.integers(len(pool)))].copy(), float(index))


def watch_steps(session: Session, frames: Iterator[Frame], steps: int) -> None:
    """Watch on until `steps` steps have been seen in all."""
    missing = session.model.frames_per_step * (steps - session.report().steps)
    session.watch(islice(frames, missing))
    assert session.report().steps == steps


def probe(session: Session) -> None:
    """Ask, and see that the memory is the same to the bit."""
    before = memory_bytes(session.cache)
    assert session.ask(QUESTION, remember=False).tokens > 0
    assert same(before, memory_bytes(session.cache))


def new_session(folder: Path, policy: str) -> Session:
    return Session(
        load_model(folder, device="cpu"),
        Budget(tokens=BUDGET_TOKENS),
        policy,
        tokens_per_step=TOKENS_PER_STEP,
        block=BLOCK,
        decoding=Decoding(max_new_tokens=8),
    )


def control_growth(folder: Path) -> int:
    """Growth of the process under the full cache, from where the capped one compacts first."""
    session, frames = new_session(folder, "full"), stream(CONTROL_STEPS)
    watch_steps(session, frames, FIRST)
    before = resident_bytes()
    watch_steps(session, frames, CONTROL_STEPS)
    return resident_bytes() - before


@pytest.mark.soak
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_twenty_thousand_steps_in_flat_memory(checkpoint):
    folder = checkpoint("qwen2_vl", max_position_embeddings=POSITIONS)
    session = new_session(folder, "infinipot-v")
    addresses, frames, began = buffers(session.cache), stream(STEPS), time.perf_counter()
    watch_steps(session, frames, FIRST)
    assert session.report().compressions == 1
    samples = [{"steps": session.report().steps, "resident_bytes": resident_bytes()}]
    probes = 0
    for steps in range(SAMPLE_EVERY, STEPS + 1, SAMPLE_EVERY):
        watch_steps(session, frames, steps)
        if steps % PROBE_EVERY == 0:
            probe(session)
            probes += 1
        assert buffers(session.cache) == addresses
        samples.append({"steps": steps, "resident_bytes": resident_bytes()})
    session.cache.check_integrity()
    report, seconds = session.report(), time.perf_counter() - began
    growth = max(sample["resident_bytes"] for sample in samples) - samples[0]["resident_bytes"]
    control = control_growth(folder)
    write_record(
        "soak.json",
        settings={
            "family": "qwen2_vl, tiny, random weights", "dtype": "float32", "device": "cpu", "threads": 1,
            "policy": report.policy, "budget_tokens": BUDGET_TOKENS, "tokens_per_step": TOKENS_PER_STEP,
            "block": BLOCK, "max_position_embeddings": POSITIONS, "steps": STEPS,
        },
        growth_bytes_after_first_compaction=growth,
        growth_limit_bytes=int(GROWTH_LIMIT),
        growth_bytes_of_the_full_cache={"steps": CONTROL_STEPS, "bytes": control},
        compressions=report.compressions,
        seen_tokens=report.seen_tokens,
        held_tokens=report.held_tokens,
        cap_bytes=report.cap_bytes,
        nbytes=report.nbytes,
        position=report.position,
        probes_that_left_memory_unchanged=probes,
        buffer_addresses_unchanged=True,
        seconds=round(seconds, 1),
        samples=samples,
    )  # fmt: skip
    assert report.compressions > 500 and probes == STEPS // PROBE_EVERY
    assert report.nbytes == report.cap_bytes
    assert growth < GROWTH_LIMIT < control
