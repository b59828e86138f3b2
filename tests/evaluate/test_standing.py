"""The probability of yes against no: by hand from the logits, the memory untouched; and likelihoods of answers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from infinipot_v import Budget, Session
from infinipot_v.evaluate.standing import NO, YES, chance_of_yes
from infinipot_v.generate import Decoding
from infinipot_v.types import UserError
from tests.families import FAMILIES
from tests.plain import noise_frames

QUESTION = "Is it there?"


@pytest.fixture(params=FAMILIES)
def session(request, loaded):
    model = loaded(request.param)
    opened = Session(model, Budget(tokens=4 * model.most_step_tokens(), room=768), decoding=Decoding(max_new_tokens=6))
    opened.watch(noise_frames(8))
    return opened


def state(session):
    taken = session.state().cache
    return [tensor for store in taken.stores for tensor in vars(store).values() if isinstance(tensor, torch.Tensor)]


def same(a, b):
    return len(a) == len(b) > 0 and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_chance_is_that_of_the_first_tokens(session):
    before = state(session)
    chance = chance_of_yes(session, QUESTION)
    logits = session.answering(QUESTION).first_logits().double()
    tokenizer = session.model.prompt.tokenizer
    yes, no = ({tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words} for words in (YES, NO))
    weights = [sum(math.exp(float(logits[i] - logits.max())) for i in own) for own in (yes - no, no - yes)]
    if not yes - no or not no - yes:
        assert chance is None
    else:
        assert chance == pytest.approx(weights[0] / sum(weights)) and 0 <= chance <= 1
    assert same(before, state(session)) and session.dialogue.turns == []


def test_where_no_token_tells_them_apart_nothing_is_said(session, monkeypatch):
    monkeypatch.setattr("infinipot_v.evaluate.standing.NO", YES)
    assert chance_of_yes(session, QUESTION) is None


def test_a_likelihood_goes_along_the_answer_token_by_token(session):
    """Against a loop that asks for the first logits behind every beginning, as a model without a cache would."""
    before, text = state(session), "star, key"
    weight, greedy = session.answering(QUESTION, decoding=Decoding(max_new_tokens=32)).likelihood(text)
    tokenizer, model = session.model.prompt.tokenizer, session.model
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    total, best = 0.0, True
    for count in range(len(ids)):
        answering = session.answering(QUESTION)
        try:
            answering.first_logits()
            asked = [*answering.prepared.ids, *ids[:count]]
            logits = model.next_logits(asked, answering.clock.text_positions(len(asked)), session.cache)
        finally:
            session.cache.rollback()
        total += float(logits.double().log_softmax(-1)[ids[count]])
        best = best and int(logits.argmax()) == ids[count]
    assert len(ids) > 1 and weight == pytest.approx(total, abs=1e-4) and greedy is best
    assert same(before, state(session))


def test_what_it_would_say_is_greedy_and_nothing_else_is(session):
    logits = session.answering(QUESTION).first_logits()
    tokenizer = session.model.prompt.tokenizer
    for token in itertools.islice(logits.argsort(descending=True).tolist(), 40):
        text = tokenizer.decode([token])
        if tokenizer(text, add_special_tokens=False)["input_ids"] == [token]:
            weight, greedy = session.answering(QUESTION).likelihood(text)
            assert greedy is (token == int(logits.argmax()))
            assert weight == pytest.approx(float(logits.double().log_softmax(-1)[token]))


def test_answers_that_cannot_be_weighed(session):
    with pytest.raises(UserError, match="0 tokens"):
        session.answering(QUESTION).likelihood("")
    with pytest.raises(UserError, match="there is room for"):
        session.answering(QUESTION).likelihood("so " * 900)
