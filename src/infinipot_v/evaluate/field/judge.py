"""A judge of free answers: any OpenAI-compatible endpoint. It says yes or no, and a score from 0 to 5.

The judges of the published numbers (gpt-3.5-turbo-0613 and -0125) are gone, and another judge moves numbers by several
points. So the model, its revision and the digest of the prompt go with every result, and results of two judges are
never put together. The prompt is Video-ChatGPT's (arXiv 2306.05424), which all of this field's judged sets use.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import time
from dataclasses import dataclass
from typing import Any, Protocol

from infinipot_v.types import UserError

MODEL = "Qwen/Qwen2.5-7B-Instruct"
REVISION = "a09a35458c702b33eeacc393d103063234e8bc28"
"""The default: open weights, which everybody can serve again."""
KEY = "OPENAI_API_KEY"
TRIES = 5
SYSTEM = """You are an intelligent chatbot designed for evaluating the correctness of generative outputs for \
question-answer pairs. Your task is to compare the predicted answer with the correct answer and determine if they \
match meaningfully. Here's how you can accomplish the task:------##INSTRUCTIONS: - Focus on the meaningful match \
between the predicted answer and the correct answer.
- Consider synonyms or paraphrases as valid matches.
- Evaluate the correctness of the prediction compared to the answer."""
USER = """Please evaluate the following video-based question-answer pair:

Question: {question}
Correct Answer: {answer}
Predicted Answer: {reply}

Provide your evaluation only as a yes/no and score where the score is an integer value between 0 and 5, with 5 \
indicating the highest meaningful match. Please generate the response in the form of a Python dictionary string with \
keys 'pred' and 'score', where value of 'pred' is  a string of 'yes' or 'no' and value of 'score' is in INTEGER, not \
STRING.DO NOT PROVIDE ANY OTHER OUTPUT TEXT OR EXPLANATION. Only provide the Python dictionary string. For example, \
your response should look like this: {{'pred': 'yes', 'score': 4.8}}."""
DIGEST = hashlib.sha256((SYSTEM + USER).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Verdict:
    """`yes`, `no` or `unreadable`; a score from 0 to 5 where it is readable; and what the judge said."""

    verdict: str
    score: float | None
    said: str


class Judge(Protocol):
    """Decides about one reply. `settings` go with the result."""

    @property
    def settings(self) -> dict[str, Any]: ...
    def __call__(self, question: str, answer: str, reply: str) -> Verdict: ...


def read(said: str) -> Verdict:
    """Read a judge's reply: the first `{...}` of it, as Python or JSON.

    `pred` must begin with yes or no, and `score` be a number from 0 to 5, of which the whole part counts, as published.
    Anything else is unreadable: it is counted, and never taken as a no. (ReKV's script takes "unknown" as a no, for the
    two letters in it, and asks for ever; Flash-VStream's drops what it cannot read.)
    """
    found = re.search(r"\{[^{}]*\}", said)
    try:
        content = ast.literal_eval(found[0]) if found else None
        word, score = str(content["pred"]).strip().lower(), float(content["score"])  # type: ignore[index]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return Verdict("unreadable", None, said)
    verdict = next((known for known in ("yes", "no") if re.match(rf"{known}\b", word)), None)
    if verdict is None or not 0 <= score <= 5:
        return Verdict("unreadable", None, said)
    return Verdict(verdict, float(int(score)), said)


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server at `url` (as in `http://localhost:8000/v1`), and the `model` that it serves.

    `revision` is what the server was started with: it cannot be asked. The key is read from `OPENAI_API_KEY`. Raises
    `UserError` when it cannot be reached, or refuses, after `TRIES` tries with growing pauses.
    """

    url: str
    model: str = MODEL
    revision: str = REVISION
    pause: float = 1.0

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/]", self.url):
            raise UserError(f"the judge {self.url!r} is no address: give for example http://localhost:8000/v1")

    @property
    def settings(self) -> dict[str, Any]:
        """Model, revision, and digest of the prompt; the address is nobody's business."""
        return {"model": self.model, "revision": self.revision, "prompt": DIGEST}

    def __call__(self, question: str, answer: str, reply: str) -> Verdict:
        """Ask about one reply."""
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": USER.format(question=question, answer=answer, reply=reply)},
        ]
        body = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": 300}
        return read(self._said(body))

    def _said(self, body: dict[str, Any]) -> str:
        try:
            import httpx
        except ImportError as error:
            raise UserError("a judge needs httpx: pip install 'infinipot-v[eval]'") from error
        headers = {"Authorization": f"Bearer {os.environ.get(KEY, 'none')}"}
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                response = httpx.post(
                    f"{self.url.rstrip('/')}/chat/completions", json=body, headers=headers, timeout=120
                )
                if response.status_code < 400:
                    return f"{response.json()['choices'][0]['message']['content']}"
                reason = f"it answers {response.status_code}: {response.text[:200]!r}"
                if response.status_code not in (408, 409, 425, 429) and response.status_code < 500:
                    break
            except httpx.HTTPError as error:
                reason = f"{error}" or type(error).__name__
            except (ValueError, LookupError, TypeError):
                reason = "what it answers is not of the OpenAI form"
        raise UserError(f"the judge does not answer ({reason}): see that it runs; what was judged is kept")


@dataclass(frozen=True)
class FakeJudge:
    """For tests: yes if the answer is in the reply. Its numbers are marked, and mean nothing."""

    @property
    def settings(self) -> dict[str, Any]:
        """Says that it is none."""
        return {"model": "fake", "revision": "none", "prompt": "none", "fake": True}

    def __call__(self, question: str, answer: str, reply: str) -> Verdict:
        """No judgement."""
        right = answer.lower() in reply.lower()
        return Verdict("yes" if right else "no", 5.0 if right else 0.0, "fake")


def judge_of(url: str, model: str | None) -> Judge:
    """The judge at an address, `fake` for tests; `model` may end in `@REVISION`."""
    if url == "fake":
        return FakeJudge()
    name, _, revision = (model or f"{MODEL}@{REVISION}").partition("@")
    return Endpoint(url, name, revision or "not given")
