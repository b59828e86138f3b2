"""The recent ring: the last steps once more, where they lay, right before the question, and gone with the answer."""

from __future__ import annotations

import pytest
import torch

from infinipot_v import Budget, Decoding, Session, UserError
from infinipot_v.types import RoomFull
from tests.core.test_cache import memory_bytes, same
from tests.core.test_compact import frequencies
from tests.families import FAMILIES, FIXED, ODD, small_session
from tests.oracle.attention import logits_of, masked, ranked
from tests.oracle.recording import Recording
from tests.plain import noise_frames, recorded_states

SHORT = Decoding(max_new_tokens=4)


@torch.no_grad()
def asked(session, frames):
    """Logits of everything that a session runs while it watches and answers, and the recording of it."""
    with Recording(session).running() as recording, recorded_states(session.model) as states:
        session.watch(iter(frames))
        session.ask("What is it?", remember=False, decoding=SHORT)
        return session.model.hf.get_output_embeddings()(torch.cat(states)), recording


def split(session, recording):
    """Tokens of prefix and stream, of the last stream steps that a ring of 3 holds, and the number of those."""
    stream = session.cache.prefix_tokens + session.cache.counters.seen_tokens
    steps = torch.cat([torch.full((n,), i) for i, n in enumerate(step_tokens(session, recording))])
    ring = int((steps > int(steps[-1]) - 3).sum())
    return stream, ring


def step_tokens(session, recording):
    """Tokens of each step of the stream, from the model's own blocks."""
    frames = session.model.frames_per_step
    at, noise = session._at, noise_frames(frames, seed=1)
    blocks = [session.model.encode(noise, at.canvas, index) for index in range(at.steps)]
    return [block.steps.numel() for block in blocks]


@pytest.mark.contract
@pytest.mark.parametrize("policy", ["full", "infinipot-v"])
@pytest.mark.parametrize(("family", "odd"), ODD)
def test_the_ring_lies_where_it_lay(loaded, family, odd, policy):
    """Original positions: the embeddings and positions of the last steps again, and everything else as without it."""
    model = loaded(family)
    frames = noise_frames(20 * model.frames_per_step + odd, seed=3)
    plain = small_session(model, 8, policy, positions="original")
    _, alone = asked(plain, frames)
    session = small_session(model, 8, policy, positions="original", ring=3)
    streamed, recording = asked(session, frames)
    stream, ring = split(session, recording)

    def with_ring(tokens):
        return torch.cat([tokens[..., :stream], tokens[..., stream - ring : stream], tokens[..., stream:]], -1)

    positions, embeddings = recording.positions, recording.embeddings
    assert torch.equal(positions[..., : stream + ring], with_ring(alone.positions)[..., : stream + ring])
    assert torch.equal(embeddings[: stream + ring], with_ring(alone.embeddings.T).T[: stream + ring])
    question = slice(stream + ring, stream + ring + 30)
    assert torch.equal(positions[..., question], with_ring(alone.positions)[..., question])
    oracle = logits_of(model, recording, masked(recording), positions)
    assert (streamed - oracle).abs().max() <= 1e-5


@pytest.mark.contract
@pytest.mark.parametrize("family", FIXED)
@pytest.mark.parametrize("steps", [8, 1.5])
def test_compact_positions_on_a_line(loaded, family, steps):
    """The ring takes the newest places of the memory; where that holds less than the ring, text follows the ring."""
    model = loaded(family)
    session = small_session(model, steps, positions="compact", ring=3)
    streamed, recording = asked(session, noise_frames(20, seed=3))
    stream, ring = split(session, recording)
    memory = session.cache.prefix_tokens + session.cache.held_tokens
    first = max(session.cache.prefix_tokens, memory - ring)
    room = torch.cat([torch.arange(first, first + ring), max(memory, first + ring) + torch.arange(200)])
    assert torch.equal(recording.positions[0, stream:], room[: recording.positions.shape[1] - stream])
    assert (first + ring > memory) == (steps < 3)

    def places(forward, layer, head):
        seen, before = forward.seen[layer][head], forward.first
        if before < stream:
            return torch.arange(len(seen) + forward.count)
        return torch.cat([torch.arange(memory), room[: before - stream + forward.count]])

    still = torch.zeros_like(recording.positions)
    oracle = logits_of(model, recording, ranked(recording, places, frequencies(model)), still)
    assert (streamed - oracle).abs().max() <= 1e-5


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in FIXED])
@pytest.mark.parametrize("steps", [8, 1.5])
def test_compact_positions_in_time(loaded, family, steps):
    """M-RoPE: the ring has the newest ranks of all steps held, rows and columns as ever; text begins behind both."""
    model = loaded(family)
    session = small_session(model, steps, positions="compact", ring=3)
    _, recording = asked(session, noise_frames(40, seed=3))
    stream, ring = split(session, recording)
    start, canvas = session.cache.prefix_tokens, session._at.canvas
    first = max(0, session.cache.counters.ranks - 3)
    spacing = 1 if model.time_rate is None else int(2 * model.time_rate)
    cells = canvas.grid.tokens
    time, row, column = recording.positions[:, 0, stream : stream + ring] - start
    assert time.tolist() == [(first + step) * spacing for step in range(3) for _ in range(cells)]
    assert row.tolist() == [cell // canvas.grid.width for cell in range(cells)] * 3
    assert column.tolist() == [cell % canvas.grid.width for cell in range(cells)] * 3
    newest = max(first + 3, session.cache.counters.ranks) - 1
    text = start + max(canvas.grid.height, canvas.grid.width, newest * spacing + 1)
    assert recording.positions[:, 0, stream + ring].tolist() == [text] * 3


@pytest.mark.parametrize("positions", ["original", "compact", "hf"])
@pytest.mark.parametrize("family", FAMILIES)
def test_asking_leaves_no_trace_and_the_ring_matters(loaded, family, positions):
    model = loaded(family)
    frames = noise_frames(20 * model.frames_per_step + 1, seed=6)
    ringed, plain = (small_session(model, 4, positions=positions, ring=ring, decoding=SHORT) for ring in (3, 0))
    for session in (ringed, plain):
        session.watch(iter(frames))
    before, left = memory_bytes(ringed.cache), ringed.cache.room_left
    first = ringed.ask("What is it?", remember=False)
    pieces = ringed.stream("And now?")
    next(pieces, None)
    pieces.close()
    assert ringed.ask("What is it?", remember=False).text == first.text
    assert same(before, memory_bytes(ringed.cache)) and ringed.cache.room_left == left
    assert same(before, memory_bytes(plain.cache)), "the memory knows nothing of the ring"
    assert (logits(ringed) - logits(plain)).abs().max() > 1e-3


def logits(session):
    """Of the first token of an answer."""
    with recorded_states(session.model) as states, torch.no_grad():
        session.ask("What is it?", remember=False, decoding=Decoding(max_new_tokens=1))
        return session.model.hf.get_output_embeddings()(states[-1][-1])


@pytest.mark.parametrize("block", [1, 4, 16])
def test_it_holds_whole_steps_whatever_the_blocks_and_reductions(loaded, block):
    model = loaded("internvl")
    frames = noise_frames(11, seed=2)
    session = small_session(model, 20, ring=4, block=block, reduce="dycoke")
    for count in (2, 11):
        session.watch(iter(frames[session.report().frames : count]))
        whole = model.encode(frames[:count], session._at.canvas, 0)
        held = torch.cat([step.embeddings for step, _ in session._at.ring.steps])
        assert len(session._at.ring.steps) == min(4, count) and session._at.ring.tokens == len(held)
        assert (held - whole.embeddings[-len(held) :]).abs().max() <= 1e-6
        assert session._at.ring.nbytes == held.nbytes <= 4 * model.step_bytes()


def test_a_room_that_is_too_small_says_so_before_anything_is_watched(loaded):
    model = loaded("qwen2_vl")
    tight = Session(model, Budget(tokens=60, room=40), tokens_per_step=8, ring=4, decoding=SHORT)
    with pytest.raises(UserError, match="a ring of 4 steps takes 24 of the room's 40 slots") as error:
        tight.watch(iter(noise_frames(9)))
    assert tight.report().frames == 0 and "\n" not in str(error.value)
    with pytest.raises(UserError, match="a ring of 4 steps takes 32"):
        tight.check_question("What is it?")  # of the largest steps that the resolution allows
    needed = int(str(error.value).split("at least ")[1].split()[0])
    session = Session(model, Budget(tokens=60, room=needed), tokens_per_step=8, ring=4, decoding=SHORT)
    session.watch(iter(noise_frames(9)))
    assert session.report().waiting_frames == 1 and session.ask("?").tokens == 1
    session.check_question("?")
    with pytest.raises(RoomFull):
        session.check_question("What is on the table now, and who put it there?")


@pytest.mark.parametrize("size", [-1, 1.5, True, "4", 10**6])
def test_a_ring_is_a_number_of_steps(loaded, size):
    with pytest.raises(UserError, match="a number of steps"):
        Session(loaded("qwen2_vl"), ring=size)
