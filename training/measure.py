"""Measures a checkpoint on development streams with the full cache and nothing but stock parts:
``python -m training.measure --seeds 0:40 --steps 64 --to measured-64.json``.

Every stream is written as an H.264 file, decoded, brought to 112 x 112 pixels, and answered greedily
by transformers' own Qwen2-VL, given explicit positions.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer, DynamicCache, Qwen2VLForConditionalGeneration

from infinipot_v.naming import cache_name
from infinipot_v.pocket.build import CHECKPOINT
from infinipot_v.pocket.questions import Question
from infinipot_v.pocket.scene import FRAMES_PER_STEP
from infinipot_v.pocket.seeds import DEV
from infinipot_v.pocket.stream import Stream, make_stream
from infinipot_v.pocket.vocabulary import FIRST_TURN, PREFIX
from training.forward import SIDE, TOKENS, video_positions
from training.painter import patches

LONGEST_ANSWER = 4  # tokens


def through_video(stream: Stream) -> Tensor:
    """The stream's frames as a viewer of its file gets them, float32 [F, 3, 112, 112]."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.mp4"
        stream.write(path)
        with av.open(str(path)) as container:
            pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    frames = torch.stack([torch.from_numpy(p) for p in pictures]).permute(0, 3, 1, 2)
    small = F.interpolate(frames, (112, 112), mode="bicubic", antialias=True)
    return small.float()


class Witness:
    """Watches one stream with the full cache and answers questions on the way."""

    def __init__(self, model: Qwen2VLForConditionalGeneration, tokenizer: Any, frames: Tensor):
        self.model, self.text, self.tokenizer = model, model.model.language_model, tokenizer
        pixels = patches(frames).to(model.dtype)
        grid = torch.tensor([[len(pixels), 2 * SIDE, 2 * SIDE]])
        seen = model.model.visual(pixels.flatten(0, 1), grid_thw=grid).pooler_output
        prefix = tokenizer(PREFIX, return_tensors="pt").input_ids
        self.embeds = torch.cat((self.text.embed_tokens(prefix), seen[None]), 1)
        self.prefix = prefix.shape[1]
        self.positions = video_positions(self.prefix, len(pixels), torch.device("cpu"))
        self.cache = DynamicCache()
        self.held = 0

    def watch(self, steps: int) -> None:
        """Prefill up to so many steps."""
        until = self.prefix + steps * TOKENS
        if until > self.held:
            span = slice(self.held, until)
            self._forward(self.embeds[:, span], self.positions[:, :, span], self.cache)
            self.held = until

    def answer(self, question: Question) -> str:
        """Answer greedily; the watching cache stays as it was."""
        steps = int(question.ask_at) // FRAMES_PER_STEP
        self.watch(steps)
        cache, start = copy.deepcopy(self.cache), self.prefix + max(steps, SIDE)
        ids = self.tokenizer(FIRST_TURN.format(question.text)).input_ids
        said: list[int] = []
        while len(said) < LONGEST_ANSWER and self.tokenizer.eos_token_id not in said:
            places = torch.arange(start, start + len(ids)).expand(3, 1, -1)
            hidden = self._forward(self.text.embed_tokens(torch.tensor([ids])), places, cache)
            start += len(ids)
            ids = [int(self.model.lm_head(hidden[:, -1]).argmax())]
            said += ids
        reply: str = self.tokenizer.decode(said, skip_special_tokens=True)
        return reply

    def _forward(self, embeds: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        named = {cache_name(self.text): cache}
        out = self.text(inputs_embeds=embeds, position_ids=positions, use_cache=True, **named)
        hidden: Tensor = out.last_hidden_state
        return hidden


@torch.no_grad()
def answers(folder: Path, dtype: str, steps: int, seeds: range) -> Iterator[tuple[Question, str]]:
    """Every question of these streams and the model's reply."""
    torch.set_num_threads(1)
    model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for seed in seeds:
        if seed not in DEV:
            raise ValueError(f"seed {seed} is no development seed; use seeds within {DEV}")
        stream = make_stream(seed, steps)
        witness = Witness(model, tokenizer, through_video(stream))
        for question in stream.questions:
            yield question, witness.answer(question)


def summary(replies: Iterator[tuple[Question, str]]) -> dict[str, Any]:
    """Per kind: how many, the share right, and what blind guessing would reach."""
    asked: dict[str, list[Question]] = defaultdict(list)
    right: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    for question, reply in replies:
        asked[question.kind].append(question)
        right[question.kind] += question.correct(reply)
        if not question.correct(reply):
            wrong.append({"asked": question.text, "truth": question.answer, "reply": reply})
    kinds = {k: {"n": len(v), "right": right[k] / len(v)} | blind(v) for k, v in asked.items()}
    total = sum(len(v) for v in asked.values())
    return {"n": total, "right": right.total() / total, "kinds": kinds, "wrong": wrong}


def blind(questions: list[Question]) -> dict[str, float]:
    """What a guesser without the video reaches: always the commonest answer, or any choice."""
    commonest = Counter(q.answer for q in questions).most_common(1)[0][1] / len(questions)
    chance = sum(1 / len(q.choices) for q in questions) / len(questions)
    return {"commonest_answer": commonest, "any_choice": chance}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--seeds", default="0:40", help="first:last, development seeds only")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--to", type=Path)
    chosen = parser.parse_args()
    first, last = (int(part) for part in chosen.seeds.split(":"))
    found = summary(answers(chosen.checkpoint, chosen.dtype, chosen.steps, range(first, last)))
    settings = {"steps": chosen.steps, "seeds": chosen.seeds, "dtype": chosen.dtype}
    found = {"settings": settings} | found
    if chosen.to:
        chosen.to.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({k: v for k, v in found.items() if k != "wrong"}, indent=1))
