"""Decoding: the logits that an answer's tokens are chosen from, and the positions that they run at."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infinipot_v.generate import Decoding
from infinipot_v.verify.finding import CannotCheck, Finding, within
from infinipot_v.verify.logits import tolerance_of
from infinipot_v.verify.recording import Recording, recording
from infinipot_v.verify.subject import Subject

TOKENS = 6


class Overheard:
    """A model whose `next_logits` are written down as they are handed out."""

    def __init__(self, model: Any) -> None:
        self.logits: list[Tensor] = []
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def next_logits(self, *arguments: Any) -> Tensor:
        """See `Model.next_logits`."""
        logits: Tensor = self._model.next_logits(*arguments)
        self.logits.append(logits.detach().clone())
        return logits


def next_tokens(subject: Subject) -> Finding:
    """What an answer is decoded from, against the stock model's logits over everything that ran, in one forward."""
    session = subject.session(frames=subject.frames, positions="hf")
    overheard: Any = Overheard(session.model)
    session.model = overheard
    with recording(subject.model.hf) as record:
        session.watch(iter(subject.frames))
        session.ask(subject.question, remember=False, decoding=Decoding(max_new_tokens=TOKENS))
    handed = torch.stack(overheard.logits)
    if len(handed) < 2:
        raise CannotCheck("the model ends its answer at once, so nothing is decoded")
    stock = _in_one_forward(subject.model.hf, record)[-len(handed) :]
    apart, tolerance = float((handed - stock).abs().max()), tolerance_of(subject, stock)
    moved = record.places[:, -len(handed) :].diff(dim=1)
    if bool((moved != 1).any()):
        wrong = f"positions of an answer's tokens move by {sorted(set(moved.flatten().tolist()))}, and should by 1"
        return Finding("next tokens", False, None, None, wrong)
    wrong = f"the logits that tokens are chosen from differ by {apart:.2g} from the stock model's"
    return within("next tokens", apart, tolerance, wrong, f"{len(handed)} tokens differ by {apart:.1e}")


@torch.no_grad()
def _in_one_forward(hf: Any, record: Recording) -> Tensor:
    """Stock logits of everything that ran, float32 `[tokens, vocabulary]` of its last `TOKENS`."""
    embeddings, places = torch.cat(record.embeddings), record.places.to(record.embeddings[0].device)
    given = places if places.shape[0] == 1 else places[:, None]
    states = hf.get_decoder()(inputs_embeds=embeddings[None], position_ids=given, use_cache=False).last_hidden_state
    logits: Tensor = hf.get_output_embeddings()(states[0, -TOKENS:]).float()
    return logits
