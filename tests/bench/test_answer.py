"""Answers after a long stream: the control is plain Hugging Face, memories are full, the prediction is arithmetic."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from infinipot_v.bench import answer, prefill
from infinipot_v.bench.arithmetic import Machine, Need, measured, seconds
from infinipot_v.bench.feeding import endless, imagined, without_prefill
from infinipot_v.bench.models import kv_bytes
from infinipot_v.bench.plain import STOCK, stock
from infinipot_v.bench.plain_session import PlainSession, stock_answers
from infinipot_v.bench.subject import QUESTION
from infinipot_v.generate import Decoding, end_tokens
from infinipot_v.models.stand_in import stand_in

FAMILIES = ["qwen2_vl", "llava_onevision", "smolvlm"]


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_and_ratios(subject, pages, family):
    notebook, row, result = pages
    small = subject(family)
    answer.measure(small, notebook)
    names = ["chunked", "full", "ours-96", "ours-48"]
    for name in names:
        assert row(f"{name}/first-token").n == row(f"{name}/tokens-per-second").n == small.sizes.repeats
    held = [int(row(f"{name}/first-token").note.split()[0]) for name in names]
    assert held[0] == held[1] > small.sizes.answer_seen - small.step_tokens and held[2] <= 96 and held[3] <= 48
    for ours in names[2:]:
        for other in names[:2]:
            first = f"s/m/first-token, {other} over {ours}"
            assert {first, f"{first}, predicted", f"{first}, predicted with all costs"} <= result.ratios.keys()
            assert result.ratios[f"{first}, predicted"] >= 1
            assert result.ratios[f"s/m/tokens-per-second, {ours} over {other}, predicted"] >= 1
            assert result.ratios[f"{first}, predicted with all costs"] > 0
    assert row("machine/fixed-token").median >= 0 and row("machine/fixed-question").median >= 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_session_answers_as_ours_does_with_everything_held(subject, family):
    """The same stream, the same question: the same first logits, and the cache as before afterwards."""
    small = subject(family)
    plain, ours = PlainSession(small), small.session("full", 400, positions="original")
    frames = [frame for frame, _ in zip(small.frames(), range(6 * small.model.frames_per_step), strict=False)]
    logits: dict[str, list[torch.Tensor]] = {"plain": [], "ours": []}
    for name, session in (("plain", plain), ("ours", ours)):
        for start in range(0, len(frames), 2 * small.model.frames_per_step):
            session.watch(frames[start : start + 2 * small.model.frames_per_step])
        answering = stock_answers(small.model) if name == "plain" else small.model
        session.model = overheard(answering, logits[name])
    before = plain.report()
    answers = [s.ask(QUESTION, remember=False, decoding=Decoding(max_new_tokens=4)) for s in (plain, ours, plain)]
    assert plain.report() == before and before.held_tokens == ours.report().held_tokens
    assert answers[0].text == answers[1].text == answers[2].text and answers[0].tokens == answers[1].tokens
    found = [torch.stack(logits[name][:2]) for name in logits]
    assert float((found[0] - found[1]).abs().max()) < 2e-5


def overheard(model, heard):
    def next_logits(*arguments):
        heard.append(model.next_logits(*arguments))
        return heard[-1]

    return stand_in(model, next_logits=next_logits)


def test_a_plain_session_attends_as_transformers_does(subject):
    small = subject()
    config = small.model.hf.get_decoder().config
    before, seen = config._attn_implementation, []
    small.model.hf.get_decoder().layers[0].register_forward_pre_hook(
        lambda module, _: seen.append(module.self_attn.config._attn_implementation)
    )
    plain = PlainSession(small)
    plain.watch([frame for frame, _ in zip(small.frames(), range(2), strict=False)])
    plain.model = stock_answers(small.model)
    plain.ask(QUESTION, decoding=Decoding(max_new_tokens=2))
    assert len(seen) >= 3 and set(seen) <= set(STOCK) and config._attn_implementation == before
    with pytest.raises(ValueError, match="odd"), stock(small.model.hf):
        raise ValueError("odd")
    assert config._attn_implementation == before


@pytest.mark.parametrize("family", FAMILIES)
def test_a_memory_is_filled_without_the_model(subject, family):
    small = subject(family)
    ran: list[int] = []
    small.model.hf.get_decoder().layers[0].register_forward_pre_hook(lambda _m, _a: ran.append(1))
    session = answer.filled(small, partial(small.session, "infinipot-v", 96), 160)
    assert len(ran) == 1, "the prefix alone"
    assert session.report().compressions > 0 and session.report().seen_tokens > 160 - small.step_tokens
    session.cache.check_integrity()
    keys, values, *_ = session.cache.capped_layers[-1].store.stream()
    assert float(keys.std()) == pytest.approx(1, abs=0.4) and float(values.std()) == pytest.approx(1, abs=0.4)


def test_an_endless_answer_has_the_length_wanted(subject):
    small = subject()
    ends = end_tokens(small.model)

    def ending(ids, positions, cache):
        logits = small.model.next_logits(ids, positions, cache)
        logits[min(ends)] = logits.max() + 1
        return logits

    session = small.session()
    session.watch([frame for frame, _ in zip(small.frames(), range(4), strict=False)])
    decoding = Decoding(max_new_tokens=5)
    session.model = stand_in(small.model, next_logits=ending)
    assert session.ask(QUESTION, remember=False, decoding=decoding).tokens == 0
    session.model = endless(session.model)
    assert session.ask(QUESTION, remember=False, decoding=decoding).tokens == 5


def test_blocks_of_ours_and_of_plain_ones_take_turns(subject, pages):
    notebook, row, result = pages
    prefill.measure(subject(), notebook)
    assert row("full/behind-40").n == row("chunked/behind-10").n == 2
    assert result.ratios["s/m/behind-40, full over chunked"] > 0


def test_what_an_answer_needs(subject):
    small = subject()
    need = Need.of(small.model)
    text = small.model.text_config
    assert need.kv_bytes == kv_bytes(small.model) == 2 * 2 * 16 * 4 * 4
    assert need.query_width == text.num_attention_heads * 16 * text.num_hidden_layers
    assert need.weight_bytes == 4 * (need.weights + need.output)
    tables = text.vocab_size * text.hidden_size
    language = sum(p.numel() for p in small.model.hf.get_decoder().parameters())
    assert need.output == tables and need.weights == language - tables - text.hidden_size, "without the last norm"


def test_the_slower_of_arithmetic_and_memory_counts():
    need = Need(weight_bytes=200, weights=100, output=0, query_width=10, kv_bytes=4)
    machine = Machine(1000.0, 100.0, 500.0, 50.0, 10.0)
    assert seconds(need, machine, 1, 0) == 2.0, "one token reads all weights"
    assert seconds(need, machine, 50, 0) == 10.0, "fifty multiply with them"
    assert seconds(replace(need, output=5000), machine, 50, 0) == 10.0 + 10.0, "the last token's logits alone"
    assert seconds(need, machine, 1, 100) == 2.0 + 8.0
    assert seconds(need, machine, 1, 100, copies=2.0) == 2.0 + 8.0 + 8.0
    assert seconds(need, machine, 50, 100) == 10.0 + 400.0
    assert seconds(need, machine, 1, 100, stock=True) == 2.0 + 40.0
    assert seconds(need, machine, 50, 100, stock=True) == 10.0 + 400.0, "many queries attend alike"


def test_rates_of_this_machine(subject):
    found = measured(subject().model, repeats=1)
    assert min(vars(found).values()) > 1e7


def test_out_of_memory_is_a_result(subject, pages, monkeypatch):
    notebook, row, result = pages

    def much(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(answer, "PlainSession", much)
    answer.measure(subject(), notebook)
    assert row("chunked/first-token").median is None and row("chunked/first-token").note == "out of memory"
    assert row("full/first-token").median and not any("chunked" in name for name in result.ratios)


def test_stand_ins_share_what_a_step_is(subject):
    small = subject("smolvlm")
    frames = [frame for frame, _ in zip(small.frames(), range(2), strict=False)]
    one, other = (make(small.model).encode(frames, small.canvas, 0) for make in (imagined, without_prefill))
    assert torch.equal(one.cells, other.cells) and torch.equal(one.embeddings, other.embeddings)
