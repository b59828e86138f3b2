"""The prompt of a video dialogue, split where the video lies. Uses the checkpoint's own chat template.

    prefix | video tokens | closing of the video, dialogue so far, question, opening of the answer

The template is rendered once with a video in the first turn and cut at the video's placeholder, so the pieces are what
the model was trained on, whatever the family. A piece is tokenised together with the special token that lies beside it
in the whole prompt (`edge`), so that tokenising the pieces is the same as tokenising the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infinipot_v.types import UserError

VIDEO_TOKENS = ("video_token_id", "video_token_index")
Turn = tuple[str, str]
"""A question and its answer."""


@dataclass(frozen=True)
class Prompt:
    """`tokenizer` and chat `template` of a checkpoint, and the `placeholder` a video has in it.

    `opening` and `closing` are what a family writes around the frames where the template has only the placeholder.
    `edge` is the special token that a video's tokens end in; the placeholder itself unless a family says otherwise.
    """

    tokenizer: Any
    template: str
    placeholder: str
    opening: str = ""
    closing: str = ""
    edge: str | None = None

    def prefix(self, system: str | None = None) -> list[int]:
        """Token ids before the video: system prompt and what opens the video. Raises `UserError` as `question` does."""
        if system is not None:
            self._check("system prompt", system)
        before = self._before(system)
        return [*self._begin(before), *self._ids_before(before)]

    def first(self, text: str) -> list[int]:
        """Token ids of stream text that follows the prefix directly. Raises `UserError` where they would merge."""
        before = self._before(None)
        whole, prefix = self._ids_before(before + text), self._ids_before(before)
        if whole[: len(prefix)] != prefix:
            raise UserError(
                f"the tokenizer joins {text!r} with the prompt before it: this checkpoint cannot be cut there"
            )
        return whole[len(prefix) :]

    def between(self, text: str) -> list[int]:
        """Token ids of stream text that follows a special token."""
        return self._ids_behind(text) if text else []

    def said(self, text: str, around: tuple[str, str], most: int) -> tuple[list[int], int]:
        """Token ids of what is said in the stream, between `around`, and how many were left out to be `most`.

        The end is left out; special tokens in the text always are.
        """
        text = self.plain(text)
        if not text.strip():
            return [], 0
        ids = self.between(around[0] + text + around[1])
        if len(ids) <= most:
            return ids, 0
        tail = self.between(around[1])
        words = most - len(self.between(around[0])) - len(tail)
        return ([*ids[: most - len(tail)], *tail], len(ids) - most) if words > 0 else ([], len(ids))

    def question(self, system: str | None, turns: Sequence[Turn], question: str) -> list[int]:
        """Token ids behind the video: what closes it, the dialogue so far, the question, the answer's opening.

        Raises `UserError` for an empty question and for one that contains one of the model's special tokens.
        """
        if not isinstance(question, str) or not question.strip():
            raise UserError('the question is empty: write one in quotes, as in "What is on the table?"')
        return self.behind(system, turns, question)

    def behind(self, system: str | None, turns: Sequence[Turn], question: str) -> list[int]:
        """As `question`, which may be empty here: then the template's own tokens are left."""
        self._check("question", question)
        return self._ids_behind(self.closing + self._split(system, turns, question)[1])

    def plain(self, text: str) -> str:
        """`text` without the model's special tokens, which would be read as such when the dialogue is shown again."""
        ending: dict[str, list[str]] = {}
        for token in self.special_tokens:
            ending.setdefault(token[-1:], []).append(token)
        kept: list[str] = []
        for letter in text:  # taking one out may put another together, which ends then, too
            kept.append(letter)
            for token in ending.get(letter, ()):
                if kept[-len(token) :] == list(token):
                    del kept[-len(token) :]
                    break
        return "".join(kept)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """What a text must not contain: the tokenizer's special and added tokens, and the video's placeholder."""
        return tuple({*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab(), self.placeholder})

    def _check(self, what: str, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"the {what} is not valid text (UTF-8): write it again") from error
        for token in self.special_tokens:
            if token in text:
                raise UserError(f"the {what} contains {token!r}, a special token of this model: leave it out")

    def _split(self, system: str | None, turns: Sequence[Turn], question: str) -> tuple[str, str]:
        messages = _messages(system, turns, question)
        try:
            text = self.tokenizer.apply_chat_template(
                messages, chat_template=self.template, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # whatever a template raises: its syntax, its own refusals
            raise UserError(f"the chat template fails: {str(error).strip() or type(error).__name__}") from error
        before, found, after = text.partition(self.placeholder)
        if not found:
            raise UserError(f"the checkpoint's chat template shows no video: its output has no {self.placeholder}")
        return before, after

    def _before(self, system: str | None) -> str:
        return self._split(system, [], "?")[0] + self.opening

    def _begin(self, text: str) -> list[int]:
        """The token that the tokenizer puts before every text, unless the template has written it already."""
        bos, token = self.tokenizer.bos_token_id, self.tokenizer.bos_token
        if bos is None or text.startswith(token) or self.tokenizer(text)["input_ids"][:1] != [bos]:
            return []
        return [bos]

    def _ids_before(self, text: str) -> list[int]:
        edge = self.edge or self.placeholder
        ids = self._ids(text + edge)
        return ids[: len(ids) - len(self._ids(edge))]

    def _ids_behind(self, text: str) -> list[int]:
        edge = self.edge or self.placeholder
        return self._ids(edge + text)[len(self._ids(edge)) :]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _messages(system: str | None, turns: Sequence[Turn], question: str) -> list[dict[str, Any]]:
    """The dialogue as chat messages; the video is the first thing that the user shows."""
    messages: list[dict[str, Any]] = []
    if system is not None:
        messages.append({"role": "system", "content": [{"type": "text", "text": system}]})
    questions = [asked for asked, _ in turns] + [question]
    for index, text in enumerate(questions):
        video = [{"type": "video"}] if index == 0 else []
        messages.append({"role": "user", "content": [*video, {"type": "text", "text": text}]})
        if index < len(turns):
            messages.append({"role": "assistant", "content": [{"type": "text", "text": turns[index][1]}]})
    return messages


def video_placeholder(tokenizer: Any, config: Any) -> str:
    """The token that stands for a video, as config.json numbers it. Raises `UserError` where there is none."""
    token = next((getattr(config, name) for name in VIDEO_TOKENS if getattr(config, name, None) is not None), None)
    if token is None:
        raise UserError("the checkpoint's config.json names no video token: it was not made for video")
    placeholder = tokenizer.convert_ids_to_tokens(int(token))
    if not isinstance(placeholder, str):
        raise UserError("the checkpoint's video token is not in its tokenizer: download the checkpoint again")
    return placeholder


def video_template(templates: Sequence[str]) -> str:
    """The first template that knows videos. Raises `UserError` where none does."""
    for template in templates:
        if "video" in template:
            return template
    raise UserError("the checkpoint has no chat template that knows videos (chat_template.json or .jinja)")
