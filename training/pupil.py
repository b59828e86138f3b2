"""The model in training: stock network, helper head, one update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infinipot_v.pocket.build import TEXT, build_config
from infinipot_v.pocket.lexicon import COLOURS, KINDS
from infinipot_v.pocket.questions import QUESTION_KINDS
from infinipot_v.pocket.vocabulary import PREFIX
from training.blocks import IGNORED, TURNS, encoded
from training.cells import UNSURE
from training.forward import read, see
from training.fused import PLAIN, Fused, compiled
from training.painter import Sheets, clean_frames, paint_on, patches, worn

BARE_WEIGHT = 0.15  # of a cell that shows nothing, in the helper head's loss
HELP_WEIGHT = 0.3  # of the helper head's loss beside the language model's


class Pupil(nn.Module):
    """The stock model and a helper head that names what every visual token shows. The head only
    serves training and is not shipped."""

    def __init__(self, device: torch.device, dtype: torch.dtype, fuse: bool, line: bool = False):
        from transformers import Qwen2VLForConditionalGeneration

        super().__init__()
        self.model = Qwen2VLForConditionalGeneration(build_config())
        self.helper = nn.Linear(TEXT["hidden_size"], len(KINDS) + len(COLOURS) + 2)
        self.to(device)
        self.dtype, self.device, self.line = dtype, device, line
        self.fused: Fused = compiled() if fuse else PLAIN
        self._paint = paint_on(device)
        self._clean: Any = torch.compile(clean_frames, dynamic=True) if fuse else clean_frames
        self._worn: Any = torch.compile(worn, dynamic=True) if fuse else worn
        self._prefix = torch.tensor(encoded(PREFIX), device=device)

    def begin_from(self, checkpoint: Path) -> None:
        """Take a finished checkpoint's weights; the helper head starts from chance."""
        stock = type(self.model).from_pretrained(checkpoint, dtype=torch.float32)
        self.model.load_state_dict(stock.state_dict())

    @torch.no_grad()
    def look(self, batch: dict[str, Tensor]) -> Tensor:
        """Paint a batch: its patches [B * S, 64, 1176]."""
        frames = self._clean(Sheets(*(batch[name] for name in Sheets._fields)), self._paint)
        return patches(self._worn(frames, len(batch["noise"]), batch["noise"])).to(self.dtype)

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch and what was right: counts by question kind, helper's hits."""
        size = len(batch["noise"])
        tokens = see(self.model, self.look(batch), self.fused, self.dtype)
        loss, tally = self._help(tokens, batch["cells"].flatten(0, 1))
        if "tokens" in batch:
            answers, more = self._answer(tokens.view(size, -1, *tokens.shape[1:]), batch)
            loss, tally = HELP_WEIGHT * loss + answers, tally | more
        return loss, tally | {"loss": loss.detach()}

    def _help(self, tokens: Tensor, cells: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.helper(tokens).split((len(KINDS) + 1, len(COLOURS) + 1), -1)
        loss, tally = tokens.new_zeros(()), {}
        for index, (name, guess) in enumerate(zip(("see-kind", "see-colour"), logits, strict=True)):
            truth = cells[..., index].long()
            weight = torch.ones(guess.shape[-1], device=guess.device)
            weight[0] = BARE_WEIGHT
            flat = guess.float().flatten(0, 1)
            loss = loss + F.cross_entropy(flat, truth.flatten(), weight, ignore_index=UNSURE)
            there = truth > 0
            tally[name] = ((guess.argmax(-1) == truth) & there).sum() / there.sum().clamp(min=1)
        return loss, tally

    def _answer(self, video: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        ask_step = batch["ask_step"].long()
        hidden = read(self.model, self._prefix, video, batch["tokens"].long(), ask_step,
                      self.fused, self.dtype, self.line)  # fmt: skip
        labels = batch["labels"].long()[..., 1:]
        told = labels != IGNORED
        logits = F.linear(
            hidden[..., :-1, :][told].to(self.dtype),
            self.model.model.language_model.embed_tokens.weight.to(self.dtype),
        ).float()
        wrong = logits.argmax(-1) != labels[told]
        tally = self._tally(wrong, told, batch["turn"][..., 1:], batch["kind"].long())
        return F.cross_entropy(logits, labels[told]), tally

    @staticmethod
    def _tally(wrong: Tensor, told: Tensor, turn: Tensor, kind: Tensor) -> dict[str, Tensor]:
        """Turns asked and answered without a wrong token, by question kind, each [9]."""
        row = torch.arange(told[..., 0].numel(), device=told.device).view(*told.shape[:-1], 1)
        turns = (row * TURNS + turn.long())[told]
        missed = torch.zeros(kind.numel(), device=told.device).index_add_(0, turns, wrong.float())
        flat = kind.flatten()
        asked = torch.bincount(flat[flat >= 0], minlength=len(QUESTION_KINDS))
        right = torch.bincount(flat[(flat >= 0) & (missed == 0)], minlength=len(QUESTION_KINDS))
        return {"asked": asked, "right": right}
