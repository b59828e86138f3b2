"""What is checked: a loaded checkpoint, its files, and a short video. What several checks need is run once, here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from infinipot_v.budget import Budget
from infinipot_v.generate import Decoding
from infinipot_v.models.base import Canvas, Model
from infinipot_v.policies.base import Policy
from infinipot_v.session import Session
from infinipot_v.survey.files import CheckpointFiles
from infinipot_v.types import Frame, UserError
from infinipot_v.verify.masking import another_attention
from infinipot_v.verify.plain import opening, slow_inputs
from infinipot_v.verify.plain.processor import own_inputs
from infinipot_v.verify.plain.shown import Shown, resized
from infinipot_v.verify.readout import embeddings_apart, logits_of, rerun, share_of
from infinipot_v.verify.recording import Recording, recording

QUESTION = "What is moving in this video, and where does it go?"
STEPS = 4
"""Steps of the runs that are compared with a plain forward: enough for three blocks, few enough for a large model."""


@dataclass(frozen=True)
class Subject:
    """`video` are frames of any one size, sampled `fps` a second; `tokens` a step are wanted where that is a choice."""

    model: Model
    files: CheckpointFiles
    video: tuple[Frame, ...]
    fps: float = 1.0
    tokens: int | None = 32
    question: str = QUESTION

    # Resolution and frames -----------------------------------------------------------------------------------------

    @cached_property
    def tokens_per_step(self) -> int | None:
        """The bound on a step's tokens; None where the checkpoint has one resolution."""
        try:
            self.model.canvas(224, 224, self.tokens)
        except UserError:
            return None
        return self.tokens

    def canvas_of(self, height: int, width: int) -> Canvas:
        """The resolution for frames of a size."""
        return self.model.canvas(height, width, self.tokens_per_step)

    @cached_property
    def canvas(self) -> Canvas:
        """The resolution, for frames that have it already: nothing is resized in what is compared to the bit."""
        canvas = self.canvas_of(*self.video[0].pixels.shape[:2])
        for _ in range(8):
            if canvas.source == canvas.pixels:
                break
            canvas = self.canvas_of(*canvas.pixels)
        return canvas

    def first_steps(self, steps: int) -> tuple[Frame, ...]:
        """The first whole steps of the video, at most so many, brought to the canvas's size by PIL."""
        pair = self.model.frames_per_step
        count = min(steps * pair, len(self.video) - len(self.video) % pair)
        size = self.canvas.pixels
        return tuple(
            Frame(resized(frame.pixels, size), index / self.fps) for index, frame in enumerate(self.video[:count])
        )

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """What is compared with a plain forward."""
        return self.first_steps(STEPS)

    @property
    def steps(self) -> int:
        """Steps of `frames`."""
        return len(self.frames) // self.model.frames_per_step

    @property
    def step_tokens(self) -> int:
        """Tokens a step as they are run, text in the stream included; the most of all steps."""
        return -(-sum(self.streamed.pieces[1:-1]) // self.steps)

    # Our side ------------------------------------------------------------------------------------------------------

    def session(
        self,
        tokens: int | None = None,
        policy: str | Policy = "infinipot-v",
        frames: Sequence[Frame] = (),
        **options: Any,
    ) -> Session:
        """A session of the checked model; without `tokens`, its budget holds `frames`, or the whole video.

        With `frames`, the prompt is opened as transformers opens it for just these, where a stream leaves that out.
        """
        if self.tokens_per_step is not None:
            options["tokens_per_step"] = self.tokens_per_step
        tokens = tokens or (len(frames or self.video) + 1) * (self.model.step_tokens(self.canvas) + 8)
        model = self._opened(frames) if frames else self.model
        return Session(model, Budget(tokens=tokens), policy, decoding=Decoding(max_new_tokens=1), **options)

    def _opened(self, frames: Sequence[Frame]) -> Model:
        words = opening(self.model.family, len(frames), self.fps)
        return self.model if words is None else replace(self.model, prompt=replace(self.model.prompt, opening=words))

    def watch_and_ask(self, positions: str | None) -> Recording:
        """Everything that a session runs: prefix, steps in blocks of three, question."""
        session = self.session(frames=self.frames, positions=positions, block=3)
        with recording(self.model.hf) as record:
            session.watch(iter(self.frames))
            session.ask(self.question, remember=False)
        return record

    @cached_property
    def streamed(self) -> Recording:
        """A session's run with transformers' own positions, while everything fits."""
        return self.watch_and_ask("hf")

    @cached_property
    def by_default(self) -> Recording:
        """A session's run with the positions that the family has by default, while everything fits."""
        return self.watch_and_ask(None)

    # The plain side ------------------------------------------------------------------------------------------------

    def shown(self, frames: Sequence[Frame], canvas: Canvas | None = None) -> Shown:
        """A video for the plain side, at the resolution of `canvas`."""
        config, tokenizer = self._stock
        pictures, size = np.stack([frame.pixels for frame in frames]), (canvas or self.canvas).pixels
        return Shown(self.files, config, tokenizer, pictures, self.fps, size, self.question)

    @property
    def stock_config(self) -> Any:
        """The configuration, read from the checkpoint's config.json anew."""
        return self._stock[0]

    @cached_property
    def _stock(self) -> tuple[Any, Any]:
        from transformers import AutoConfig, AutoTokenizer

        place, where = self.files.place, self.files.where
        return AutoConfig.from_pretrained(place, **where), AutoTokenizer.from_pretrained(place, **where)

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What the stock model is handed for `frames`, by slow arithmetic."""
        return slow_inputs(self.model.family, self.shown(self.frames))

    @cached_property
    def processed(self) -> dict[str, Any]:
        """The same by the checkpoint's own processor. Raises `CannotCheck` where it does not load."""
        return own_inputs(self.model.family, self.shown(self.frames))

    @cached_property
    def plain(self) -> Recording:
        """Stock Hugging Face's one forward over `inputs`; positions are its own."""
        return self.run_plain(self.inputs)

    @cached_property
    def plain_by_default(self) -> Recording:
        """The same with the text behind the video at the largest position + 1, as the models were trained."""
        places = self.plain.places.clone()
        if places.shape[0] == 1:
            return self.plain
        text = places.shape[1] - self.streamed.pieces[-1]
        start = int(places[:, :text].max()) + 1
        places[:, text:] = torch.arange(start, start + places.shape[1] - text)
        return self.run_plain({**self.inputs, "position_ids": places[:, None]})

    @cached_property
    def rounding(self) -> float:
        """What plain Hugging Face's logits differ from its own: another attention, other pieces, other rounding before.

        The last is with the session's embeddings, and counts only while these are right (`slack`).
        """
        hf, plain, ours = self.model.hf, self.plain, torch.cat(self.streamed.embeddings)
        with another_attention(hf):
            again = self.run_plain(self.inputs)
        found = [float((logits_of(hf, again) - logits_of(hf, plain)).abs().max())]
        if len(ours) == len(plain.inputs):
            found.append(rerun(hf, plain, torch.cat(plain.embeddings), self.streamed.pieces))
            if float(embeddings_apart(ours.float(), plain.inputs).max()) <= self.slack:
                found.append(rerun(hf, plain, ours, [len(ours)]))
        return max(found)

    @property
    def slack(self) -> float:
        """How much of themselves embeddings may differ by."""
        return 2 * share_of(self.model.hf.dtype)

    @torch.no_grad()
    def run_plain(self, inputs: dict[str, Any]) -> Recording:
        """One stock forward; what it leaves on the model (`rope_deltas`) is put back."""
        hf = self.model.hf
        inner, device = hf.model, self.model.device
        before = getattr(inner, "rope_deltas", None)
        placed = {name: value.to(device) if hasattr(value, "to") else value for name, value in inputs.items()}
        try:
            with recording(hf) as record:
                hf(**placed, use_cache=False, logits_to_keep=1)
        finally:
            if hasattr(inner, "rope_deltas"):
                inner.rope_deltas = before
        return record
