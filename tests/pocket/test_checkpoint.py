"""The shipped checkpoint: stock classes load it, pieces of a prompt tokenise as the whole, it sees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoTokenizer

from infinipot_v.pocket import CHECKPOINT, make_stream, pocket_version
from infinipot_v.pocket.vocabulary import ANSWER, FIRST_TURN, NEXT_TURN, PREFIX, SPECIALS, build_tokenizer

TOKENIZER = AutoTokenizer.from_pretrained(CHECKPOINT)


def ids(text: str) -> list[int]:
    return list(TOKENIZER(text).input_ids)


def test_the_pieces_of_a_prompt_tokenise_as_the_whole() -> None:
    for seed in range(5):
        pieces = [PREFIX, "<|video_pad|>" * 16]
        for turn, question in enumerate(make_stream(seed, 32).questions):
            pieces += [(NEXT_TURN if turn else FIRST_TURN).format(question.text), ANSWER.format(question.answer)]
        assert ids("".join(pieces)) == [token for piece in pieces for token in ids(piece)]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_survives(text: str) -> None:
    found = TOKENIZER.decode(ids(text), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert found == text


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"\A[ -~]{1,40}\Z"))
def test_any_question_cuts_cleanly_from_its_answer(text: str) -> None:
    asked, answer = FIRST_TURN.format(text), ANSWER.format("top left")
    assert ids(asked + answer) == ids(asked) + ids(answer)


def test_a_word_of_the_world_is_one_token() -> None:
    for seed in range(60):
        for question in make_stream(seed, 32).questions:
            for text in (question.text, question.answer):
                assert len(ids(text)) == len(re.findall(r"[A-Za-z]+|[:,?]", text)), text
    for word in ("red", " red", "top", " left", "nothing", "yes", "A", " stars", "assistant", "user", "\n"):
        assert len(ids(word)) == 1, word
    assert TOKENIZER.decode(ids("top left")) == "top left"


def test_the_chat_template_writes_the_prompt_the_model_was_trained_on() -> None:
    asked = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What was red?"}]}
    told = {"role": "assistant", "content": "box"}
    more = {"role": "user", "content": "Where was the box?"}
    written = TOKENIZER.apply_chat_template([asked, told, more], tokenize=False, add_generation_prompt=True)
    pieces = (PREFIX, "<|video_pad|>", FIRST_TURN.format("What was red?"), ANSWER.format("box"))
    assert written == "".join(pieces) + NEXT_TURN.format("Where was the box?")


def test_the_shipped_tokenizer_is_the_one_the_code_builds() -> None:
    built = json.loads(build_tokenizer().to_str())["model"]
    shipped = json.loads((CHECKPOINT / "tokenizer.json").read_text())["model"]
    assert built["vocab"] == shipped["vocab"]
    assert [TOKENIZER.convert_tokens_to_ids(name) for name in SPECIALS] == list(range(len(SPECIALS)))


def test_the_weights_are_small_and_half_precision() -> None:
    path = CHECKPOINT / "model.safetensors"
    assert path.stat().st_size <= 16_000_000
    with safe_open(path, "pt") as weights:
        slices = [weights.get_slice(name) for name in weights.keys()]  # noqa: SIM118
    assert {piece.get_dtype() for piece in slices} == {"F16"}


def test_the_record_names_command_seed_and_time() -> None:
    record = json.loads((CHECKPOINT / "training.json").read_text())
    assert record["command"].startswith("python -m training.run")
    assert record["hours"] > 0
    assert record["curve"][-1]["updates"] <= record["updates"]
    for name in ("README.md", "curve.png", "preprocessor_config.json", "generation_config.json"):
        assert (CHECKPOINT / name).exists(), name


def test_the_version_is_twelve_hexadecimal_digits() -> None:
    assert len(pocket_version()) == 12
    assert int(pocket_version(), 16) >= 0


@pytest.mark.contract
def test_stock_classes_load_it_and_it_answers(tmp_path: Path) -> None:
    from training.measure import answers, summary

    found = summary(answers(CHECKPOINT, "float32", 16, range(2000, 2003)))
    assert found["right"] >= 0.9, found["wrong"]
