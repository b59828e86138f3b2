"""The tokenizer: byte-level, one token for every word of the world, and Qwen2-VL's chat template.

Any text survives the round trip. The split never looks past a word, a digit, a sign or a line
break, so a prompt cut at special tokens or line breaks is tokenised as it would be whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from infinipot_v.pocket.lexicon import COLOUR_NAMES, KINDS, NUMBERS, PLACES, PLURALS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIALS: tuple[str, ...] = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
SPLIT = r"\n| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s"
SYSTEM = "You are a helpful assistant."
VOCABULARY_SIZE = 1024  # rows of the embedding; more than there are tokens

PREFIX = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>"
FIRST_TURN = "<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
NEXT_TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
ANSWER = "{}<|im_end|>\n"

CHAT_TEMPLATE = """\
{%- if messages[0]['role'] != 'system' -%}
<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for item in message['content'] -%}
{%- if item['type'] == 'image' or 'image' in item -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif item['type'] == 'video' or 'video' in item -%}
<|vision_start|><|video_pad|><|vision_end|>
{%- elif 'text' in item -%}
{{ item['text'] }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


# Every word a question is made of, besides the lexicon's.
PHRASES = """
What colour was the / Which colour did the have / Which thing was / Where was the / In which corner was the
What came first / Which came later / What came last / What came right after before / How many were there
How many came by / What is in the picture now / What is visible now / Which was never there
Was there a an / A B C D or / yes no nothing / system user assistant
"""


def corpus() -> Iterator[str]:
    """Every word of the world, with and without a space before it."""
    phrases = f"{SYSTEM} {PHRASES} {' '.join(PLACES)}".replace(".", "").replace("/", "").split()
    for word in chain(phrases, KINDS, PLURALS.values(), COLOUR_NAMES, NUMBERS):
        yield word
        yield f" {word}"


def build_tokenizer() -> Tokenizer:
    """Train the tokenizer on the corpus until every word is one token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=1,
        show_progress=False,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer
