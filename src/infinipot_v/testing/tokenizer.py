"""A real byte-level BPE tokenizer with a vocabulary of about 300: any text goes in and comes out unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""Qwen2-VL's, in its order; they follow the plain vocabulary."""

MERGES = (
    ("Ġ", "t"), ("h", "e"), ("Ġ", "a"), ("i", "n"), ("r", "e"), ("Ġt", "he"), ("o", "u"), ("e", "r"), ("a", "t"),
    ("o", "n"), ("Ġ", "w"), ("Ġ", "s"), ("a", "n"), ("i", "s"), ("Ġ", "i"), ("l", "l"), ("y", "ou"), ("in", "g"),
)  # fmt: skip
"""`Ġ` is a space in the byte alphabet."""

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 cuts text into words before merging bytes."""

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and message.role != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for item in message.content %}"
    "{% if item.type == 'image' or 'image' in item or 'image_url' in item %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif item.type == 'video' or 'video' in item %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in item %}{{ item.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The chat form of the Qwen-VL families: a system message of its own when none is given, pictures as pad tokens."""


class TinyTokenizer:
    """The tokenizer, and the ids a config needs of it. `len()` is the vocabulary size, special tokens included."""

    def __init__(self) -> None:
        words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in MERGES)]
        vocabulary = {word: index for index, word in enumerate(words)}
        self._tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(MERGES)))
        self._tokenizer.normalizer = normalizers.NFC()
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self._tokenizer.decoder = decoders.ByteLevel()
        self._special: list[str] = []
        self._roles: dict[str, str | None] = {
            "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"
        }  # fmt: skip
        self._names: dict[str, str] = {}
        self.add(*SPECIAL_TOKENS)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __getitem__(self, token: str) -> int:
        """The id of a token that exists."""
        index = self._tokenizer.token_to_id(token)
        assert index is not None, token
        return index

    def add(self, *tokens: str, **names: str) -> None:
        """Add special tokens; `names` are attributes of the loaded tokenizer (eos_token, video_token, ...)."""
        self._tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens])
        self._special += tokens
        for name, token in names.items():
            (self._roles if name in self._roles else self._names)[name] = token

    def begin_with(self, token: str) -> None:
        """Put a token before every text, as the tokenizers of Llama do."""
        self._roles["bos_token"] = token
        self._tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{token} $A", special_tokens=[(token, self[token])]
        )

    def write(self, folder: Path, tokenizer_class: str, template: str) -> None:
        """Write tokenizer.json and its configuration; an empty template is left out."""
        self._tokenizer.save(str(folder / "tokenizer.json"))
        config = self._config(tokenizer_class) | self._roles | ({"chat_template": template} if template else {})
        roles = {name: token for name, token in self._roles.items() if token}
        files: dict[str, dict[str, Any]] = {
            "tokenizer_config.json": config,
            "special_tokens_map.json": {"additional_special_tokens": self._special[1:], **roles},
        }
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _config(self, tokenizer_class: str) -> dict[str, Any]:
        flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        names = {"extra_special_tokens": self._names, **self._names} if self._names else {}
        return {
            "add_prefix_space": False,
            "added_tokens_decoder": {str(self[token]): {"content": token, **flags} for token in self._special},
            "additional_special_tokens": self._special[1:],
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "model_max_length": 32768,
            "split_special_tokens": False,
            "tokenizer_class": tokenizer_class,
            "unk_token": None,
            **names,
        }
