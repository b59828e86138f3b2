"""A reduced stream in a session: exact, whole or not at all, the same in blocks of any size, under the cap."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from infinipot_v import Budget, Decoding, Frame, Session, UserError, policy_names
from tests.core.test_cache import Stop, memory_bytes, same
from tests.core.test_interrupts import Interrupter
from tests.families import FAMILIES, FIXED, small_session
from tests.oracle import reduction as oracle
from tests.oracle.attention import logits_of, masked
from tests.oracle.recording import Recording
from tests.plain import noise_frames, recorded_states
from tests.reduction.streams import CASES, everything, reduced_labels, reduction_for, still_frames

SHORT = Decoding(max_new_tokens=4)


@pytest.fixture(params=FAMILIES)
def model(request, loaded):
    return loaded(request.param)


@torch.no_grad()
def recorded(session, frames):
    """Logits of everything that a session runs while it watches and answers, and the recording of it."""
    with Recording(session).running() as recording, recorded_states(session.model) as states:
        session.watch(iter(frames))
        session.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=1))
        return session.model.hf.get_output_embeddings()(torch.cat(states)), recording


def stays(whole, reduction, embeddings):
    """Which tokens of a full, unreduced stream stay, by the loops: bool `[tokens]`, and the cells of each step."""
    store = whole.cache.capped_layers[0].store
    steps, cells = store.steps[0, : store.held].long(), store.cells[0, : store.held].long()
    vectors = [embeddings[(steps == s) & (cells >= 0)].tolist() for s in range(int(steps.max()) + 1)]
    if reduction.name == "dycoke":
        kept = oracle.dycoke(vectors, reduction.pruned)
    else:
        kept = oracle.longvu(vectors, reduction.window, reduction.threshold)
    keep = [bool(kept[s]) if c < 0 else c in kept[s] for s, c in zip(steps.tolist(), cells.tolist(), strict=True)]
    return torch.tensor(keep), kept


@pytest.mark.contract
@pytest.mark.parametrize("positions", ["original", "compact"])
@pytest.mark.parametrize("case", ["dycoke", "longvu"])
def test_logits_equal_the_plain_forward_over_what_is_left(model, case, positions):
    """Every token that stays has the position it has in the whole stream; with compact ones, its rank among them."""
    frames, reduction = still_frames(17 * model.frames_per_step, seed=3), reduction_for(case, model)
    whole = small_session(model, 4, "full", positions="original")
    _, all_of = recorded(whole, frames)
    prefix, held = whole.cache.prefix_tokens, whole.cache.held_tokens
    keep, kept = stays(whole, reduction, all_of.embeddings[prefix : prefix + held])
    mask = torch.ones(len(all_of.embeddings), dtype=torch.bool)
    mask[prefix : prefix + held] = keep

    session = small_session(model, 4, "full", positions=positions, reduce=reduction)
    streamed, recording = recorded(session, frames)
    assert torch.equal(recording.embeddings, all_of.embeddings[mask])
    assert (session.report().steps, session.report().reduced_tokens) == (17, int((~mask).sum()))
    assert 0 < int((~mask).sum()) < held and (case == "longvu") == (not all(kept))
    where = all_of.positions[..., mask]
    if positions == "compact":
        where = ranks(model, whole, kept, where, prefix, int(keep.sum()))
    assert torch.equal(recording.positions, where)
    assert (streamed - logits_of(model, recording, masked(recording), where)).abs().max() <= 1e-5


def ranks(model, whole, kept, where, prefix, held):
    """Compact positions of a stream of which nothing was evicted, by hand."""
    if model.family in FIXED:
        return torch.arange(where.shape[-1])[None]
    spacing = 1 if model.time_rate is None else int(model.time_rate * 2)
    where, cells = where.clone(), torch.tensor([len(k) for k in kept if k])
    times = torch.arange(len(cells)) * spacing
    where[0, 0, prefix : prefix + held] = prefix + times.repeat_interleave(cells)
    text = prefix + max(whole._at.canvas.grid.height, whole._at.canvas.grid.width, int(times[-1]) + 1)
    rest = where.shape[-1] - prefix - held
    where[..., prefix + held :] = torch.arange(text, text + rest)
    return where


@pytest.mark.contract
@pytest.mark.parametrize("case", ["dycoke", "longvu"])
def test_after_eviction_logits_equal_a_masked_full_cache(model, case):
    session = small_session(model, 6, block=3, positions="original", reduce=reduction_for(case, model))
    streamed, recording = recorded(session, still_frames(40 * model.frames_per_step, seed=3))
    assert session.report().compressions >= 2
    session.cache.check_integrity()
    oracle_logits = logits_of(model, recording, masked(recording), recording.positions)
    assert (streamed - oracle_logits).abs().max() <= 1e-5


@pytest.mark.parametrize("case", CASES)
def test_the_block_size_changes_nothing(model, case):
    frames, sessions = still_frames(40 * model.frames_per_step + 1, seed=5), []
    for block in (1, 4, 16):
        session = small_session(model, 6.3, block=block, reduce=reduction_for(case, model))
        session.watch(iter(frames))
        sessions.append(session)
    one = sessions[0]
    for other in sessions[1:]:
        pairs = zip(reduced_labels(one), reduced_labels(other), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        assert one._at.clock == other._at.clock and one._reducing._memo.place == other._reducing._memo.place
        assert one.report().reduced_tokens == other.report().reduced_tokens
        assert one.report().reduced_frames == other.report().reduced_frames
    report = one.report()
    assert report.compressions >= 2 and report.reduced_tokens + report.reduced_frames > 0
    assert report.frames == len(frames)


def test_near_duplicates_leave_the_memory_of_the_kept_frames_alone(model):
    frames = still_frames(41, seed=7)
    reduced = small_session(model, 6, block=1, reduce="near-duplicates")
    reduced.watch(iter(frames))
    kept = oracle.near_duplicates([frame.pixels for frame in frames], 0.95)
    alone = small_session(model, 6, block=1)
    alone.watch([frames[index] for index in kept])
    assert len(kept) < 35
    assert same(memory_bytes(reduced.cache), memory_bytes(alone.cache)) and reduced._at.clock == alone._at.clock
    ask = partial(Session.ask, question="What is it?", remember=False, decoding=SHORT)
    assert ask(reduced).text == ask(alone).text
    mine, theirs = reduced.report(), alone.report()
    assert (mine.frames, mine.reduced_frames, theirs.frames) == (41, 41 - len(kept), len(kept))
    assert mine.waiting_frames == theirs.waiting_frames


def test_a_still_stream_is_one_frame_that_waits(loaded):
    model, still = loaded("qwen2_vl"), noise_frames(1)[0].pixels
    session = small_session(model, 6, reduce="near-duplicates", decoding=SHORT)
    session.watch([Frame(still, float(second)) for second in range(40)])
    report = session.report()
    assert (report.frames, report.waiting_frames, report.reduced_frames, report.steps) == (40, 1, 39, 0)
    assert report.seconds == 39.0
    assert session.ask("What is it?").tokens == 4
    with pytest.raises(UserError, match="ascend"):
        session.watch(Frame(still, 39.0))
    session.watch([Frame(noise_frames(2, seed=5)[1].pixels, 40.0)])
    assert (session.report().steps, session.report().waiting_frames) == (1, 0)


@pytest.mark.parametrize("ring", [0, 2])
@pytest.mark.parametrize("case", CASES)
def test_a_step_that_fails_leaves_no_trace_and_can_be_watched_again(model, case, ring):
    frames, reduction = still_frames(30 * model.frames_per_step, seed=2), reduction_for(case, model)
    hurt, whole = (small_session(model, 6, block=1, reduce=reduction, ring=ring) for _ in range(2))
    hurt.watch(iter(frames[: len(frames) // 2]))
    seen, before = hurt.report().frames, everything(hurt)
    hook = model.hf.get_decoder().layers[1].register_forward_hook(_stop)
    with pytest.raises(Stop):
        hurt.watch(iter(frames[seen:]))
    hook.remove()
    if hurt.report().frames == seen:
        assert everything(hurt) == before
    hurt.watch(iter(frames[hurt.report().frames :]))
    whole.watch(iter(frames))
    assert same(memory_bytes(hurt.cache), memory_bytes(whole.cache))
    assert everything(hurt) == everything(whole)


def _stop(*_):
    raise Stop


@pytest.mark.parametrize("case", CASES)
def test_interrupted_at_any_call_it_goes_on_as_if_nothing_had_been(loaded, case):
    model, frames = loaded("qwen2_vl"), still_frames(26, seed=4)
    new = partial(small_session, model, 4, block=1, reduce=reduction_for(case, model), ring=2)
    twin, at, interrupted = new(), 1, 0
    twin.watch(frames)
    while True:
        session = new()
        session.watch(frames[:17])
        if not Interrupter(at).interrupt(partial(session.watch, frames[17:])):
            break
        interrupted += 1
        session.watch(frames[session.report().frames :])
        session.cache.check_integrity()
        assert same(memory_bytes(session.cache), memory_bytes(twin.cache)), f"interrupted at call {at}"
        assert everything(session) == everything(twin), f"interrupted at call {at}"
        at += 131
    assert interrupted > 3


@pytest.mark.parametrize(
    ("case", "family"), [("near-duplicates", "smolvlm"), ("dycoke", "qwen2_vl"), ("longvu", "internvl")]
)
@pytest.mark.parametrize("policy", policy_names())
def test_it_goes_with_every_policy(loaded, policy, case, family):
    """Under the cap after every step and in the middle of an answer, which leaves no trace."""
    model = loaded(family)
    session = small_session(model, 4, policy, reduce=reduction_for(case, model), ring=2, decoding=SHORT)
    for frame in still_frames(15 * model.frames_per_step, seed=8):
        session.watch(frame)
        report = session.report()
        assert report.nbytes <= report.cap_bytes
    session.cache.check_integrity()
    before = memory_bytes(session.cache), everything(session)
    first = session.ask("What is it?", remember=False)
    pieces = session.stream("And now?")
    next(pieces, None)
    assert session.report().nbytes <= session.report().cap_bytes
    pieces.close()
    assert same(before[0], memory_bytes(session.cache)) and everything(session) == before[1]
    assert session.ask("What is it?", remember=False).text == first.text
    assert report.compressions > 0 or policy == "full"
    assert report.reduced_tokens + report.reduced_frames > 0


def test_a_budget_in_bytes_counts_ring_and_memo(loaded):
    model = loaded("qwen2_vl")
    plain = Session(model, Budget(bytes=1_000_000), tokens_per_step=8)
    session = Session(model, Budget(bytes=1_000_000), tokens_per_step=8, ring=3, reduce="dycoke")
    session.watch(still_frames(60))
    report, step = session.report(), 8 * model.text_config.hidden_size * 4
    assert report.nbytes <= report.cap_bytes <= 1_000_000
    assert report.budget_tokens < plain.report().budget_tokens
    same_size = Session(model, Budget(tokens=report.budget_tokens), tokens_per_step=8)
    assert report.cap_bytes - same_size.report().cap_bytes == 4 * step
