"""Cutting a prompt: the pieces have the tokens that the whole would have, whatever the tokenizer does at their ends."""

from __future__ import annotations

from itertools import chain

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from infinipot_v import UserError
from infinipot_v.models.prompt import Prompt, video_placeholder, video_template

TEMPLATE = (
    "{% for m in messages %}{{ m.role.upper() + ': ' }}{% for item in m.content %}"
    "{% if item.type == 'video' %}<video>{{ '\n' }}{% else %}{{ item.text + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "ASSISTANT:"
)
QUESTION = " What  is it?"


def tokenizer_of(scheme: str, begin: bool, strip: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer as Llama's are: spaces are marked, before the first word too, or before each piece of text."""
    words = sorted({*map(chr, range(32, 127)), "\n", "▁", "▁W", "▁\n", "SE"})
    inner = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [("▁", "W"), ("▁", "\n"), ("S", "E")]))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    inner.decoder = decoders.Metaspace(prepend_scheme=scheme)
    inner.add_special_tokens(
        [AddedToken(token, special=True, lstrip=strip, rstrip=strip) for token in ("<s>", "<video>", "<end>")]
    )
    if begin:
        first = inner.token_to_id("<s>")
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", first)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>")


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
@pytest.mark.parametrize("begin", [True, False])
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("strip", [True, False])
def test_the_pieces_are_the_whole(scheme, begin, written, strip):
    tokenizer = tokenizer_of(scheme, begin, strip)
    prompt = Prompt(tokenizer, ("<s>" if written else "") + TEMPLATE, "<video>")
    whole = ("<s>" if written else "") + f"USER: <video>\n{QUESTION} ASSISTANT:"
    theirs = tokenizer(whole, add_special_tokens=not written)["input_ids"]
    placeholder = tokenizer.convert_tokens_to_ids("<video>")
    assert [*prompt.prefix(), placeholder, *prompt.question(None, [], QUESTION)] == theirs
    assert prompt.prefix().count(tokenizer.bos_token_id) == (begin or written)


def test_stream_text_has_the_tokens_it_has_in_the_whole():
    tokenizer = tokenizer_of("first", False)
    prompt = Prompt(tokenizer, TEMPLATE, "<video>", opening="Watch.\n", closing=" W", edge="<end>")
    pieces = [prompt.prefix(), prompt.first("One:<end>"), prompt.between("\n W:<end>"), prompt.question(None, [], "q")]
    whole = "USER: Watch.\nOne:<end>\n W:<end> W\nq ASSISTANT:"
    assert list(chain.from_iterable(pieces)) == tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert prompt.between("") == []


def test_text_that_would_merge_with_the_prefix_is_refused():
    prompt = Prompt(tokenizer_of("first", False), TEMPLATE, "<video>", opening="S")
    with pytest.raises(UserError, match="joins"):
        prompt.first("E:<end>")


def test_what_a_checkpoint_lacks_is_said():
    tokenizer = tokenizer_of("first", False)
    assert video_template(["no pictures", "a video", "another video"]) == "a video"
    with pytest.raises(UserError, match="knows videos"):
        video_template(["no pictures"])
    with pytest.raises(UserError, match="names no video token"):
        video_placeholder(tokenizer, object())
