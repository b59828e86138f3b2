"""The model as lmms-eval sees it: whatever is asked about one video is asked of one memory, which watched it once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, TypeVar

from lmms_eval.api.model import lmms

from infinipot_v.budget import Budget
from infinipot_v.generate import Decoding
from infinipot_v.lmms.media import Media
from infinipot_v.models.load import load_model
from infinipot_v.session import Session
from infinipot_v.types import Frame, UserError

Answered = TypeVar("Answered")


class InfiniPotV(lmms):  # type: ignore[misc]
    """`--model infinipot_v`; `--model_args` are the options of a session and of `load_model`.

    `pretrained` a checkpoint; `budget` tokens or bytes; `policy` a name; `fps` and, of videos watched whole,
    `max_frames` at most; `room` slots for question and answer; `tokens_per_step`, `max_pixels`, `positions`, `keep`,
    `device`, `dtype`, `device_map`, `attn_implementation`, `revision`. Questions are asked one by one
    (`batch_size=1`), each on its own. A part of a video is `film.mp4#t=0,20`; parts that begin alike are one stream,
    asked on the way. One process: for many GPUs see `infinipot-v eval --shard`. Raises `UserError` for what there is
    not.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str,
        budget: str | int = 6144,
        policy: str = "infinipot-v",
        fps: float = 1.0,
        max_frames: int | None = None,
        room: int = 1024,
        keep: float = 0.75,
        tokens_per_step: int | None = None,
        max_pixels: int | None = None,
        positions: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        device_map: str | None = None,
        attn_implementation: str = "auto",
        revision: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if int(batch_size) != 1:
            raise UserError(f"batch_size={batch_size}: questions are asked one by one; leave it at 1")
        self.budget = Budget.parse(str(budget), keep=float(keep), room=int(room))
        self.policy, self.fps, self.max_frames = policy, float(fps), max_frames
        self.options = {"tokens_per_step": tokens_per_step, "max_pixels": max_pixels, "positions": positions}
        self.model = load_model(
            pretrained, device=device or "auto", dtype=dtype, device_map=device_map, revision=revision,
            attn_implementation=attn_implementation,
        )  # fmt: skip
        self.videos_watched = 0

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Answers, in the order of the requests; see `lmms.generate_until`."""
        args = [request.args for request in requests]

        def answer(session: Session, index: int) -> str:
            context, options = args[index][:2]
            return session.ask(context, remember=False, decoding=decoding_of(options)).text

        answers = self._in_order([self._shown(*one[2:6]) for one in args], answer)
        for (context, options, *_), text in zip(args, answers, strict=True):
            self.cache_hook.add_partial("generate_until", (context, options), text)
        return answers

    def generate_until_multi_round(self, requests: list[Any]) -> list[tuple[str, ...]]:
        """All answers to one request in a tuple: each round shows and asks what the task says after the last."""
        return [self._rounds(*request.args) for request in requests]

    def _rounds(
        self, context: str, options: dict[str, Any], to_visual: Any, to_text: Any, number: Any, task: str, split: str
    ) -> tuple[str, ...]:
        document = self.task_dict[task][split][number]
        visuals, said, told = to_visual(document), list[str](), None
        while True:
            (text,) = self._in_order([Media.of(visuals)], self._asking(context, options))
            said.append(text)
            visuals, context, over, _, told = to_text(
                document, previous_output=list(said), round_idx=len(said), previous_round_info=told
            )
            if over:
                return tuple(said)

    def _asking(self, context: str, options: dict[str, Any]) -> Callable[[Session, int], str]:
        return lambda session, _: session.ask(context, remember=False, decoding=decoding_of(options)).text

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether greedy decoding would say it."""
        args = [request.args for request in requests]

        def weigh(session: Session, index: int) -> tuple[float, bool]:
            context, target, _, number, task, split = args[index]
            text = target if isinstance(target, str) else target(self.task_dict[task][split][number])
            return session.answering(context, decoding=Decoding(max_new_tokens=256)).likelihood(text)

        return self._in_order([self._shown(*one[2:6]) for one in args], weigh)

    def _shown(self, to_visual: Any, number: Any, task: str, split: str) -> Media:
        return Media.of(to_visual(self.task_dict[task][split][number]))

    def _in_order(self, shown: Sequence[Media], answer: Callable[[Session, int], Answered]) -> list[Answered]:
        """Every request in front of its video: one watching for all requests that show the same."""
        answers: dict[int, Answered] = {}
        groups: dict[str, list[int]] = {}
        for index, media in enumerate(shown):
            groups.setdefault(media.key, []).append(index)
        for indices in groups.values():
            indices.sort(key=lambda index: _end(shown[index]))
            for index, session in self._watched([shown[index] for index in indices], indices):
                answers[index] = answer(session, index)
        return [answers[index] for index in range(len(shown))]

    def _watched(self, parts: Sequence[Media], indices: Sequence[int]) -> Iterator[tuple[int, Session]]:
        """Watch one video, and stop where a part ends."""
        session = Session(self.model, self.budget, self.policy, **self.options)  # type: ignore[arg-type]
        self.videos_watched += 1
        with ExitStack() as stack:
            frames = stack.enter_context(parts[-1].frames(self.fps, self.max_frames))
            ahead: list[Frame] = []
            for part, index in zip(parts, indices, strict=True):
                session.watch(_until(frames, ahead, part))
                yield index, session


def _end(media: Media) -> float:
    return float("inf") if media.end is None else media.end


def _until(frames: Iterator[Frame], ahead: list[Frame], part: Media) -> Iterator[Frame]:
    """The frames up to where a part ends, the stream's first at least; the one behind it is kept in `ahead`."""
    end = max(_end(part) - (part.begin or 0.0), 0.1)
    for frame in chain(list(ahead), frames):
        ahead.clear()
        if frame.seconds >= end:
            ahead.append(frame)
            return
        yield frame


def decoding_of(options: dict[str, Any]) -> Decoding:
    """A task's generation_kwargs: greedy unless it samples. Blank stop strings would end an answer's first line."""
    until = options.get("until") or []
    stop = tuple(text for text in ([until] if isinstance(until, str) else until) if text.strip())
    samples = options.get("do_sample", False) and float(options.get("temperature") or 0) > 0
    return Decoding(
        int(options.get("max_new_tokens", 128)),
        temperature=float(options["temperature"]) if samples else 0.0,
        top_p=float(options.get("top_p") or 1.0) if samples else 1.0,
        stop=stop,
    )
