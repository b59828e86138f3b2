"""Decoding: the logits that an answer's tokens are chosen from, and the positions that they run at."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infinipot_v.generate import Decoding
from infinipot_v.models.stand_in import stand_in
from infinipot_v.verify.finding import CannotCheck, Finding, within
from infinipot_v.verify.logits import tolerance_of
from infinipot_v.verify.readout import as_given
from infinipot_v.verify.recording import Recording, recording
from infinipot_v.verify.subject import Subject

TOKENS = 6


def next_tokens(subject: Subject) -> Finding:
    """What an answer is decoded from, against the stock model's logits over everything that ran, in one forward."""
    session, handed_out = subject.session(frames=subject.frames, positions="hf"), list[Tensor]()
    answers = session.model.next_logits

    def overheard(*given: Any) -> Tensor:
        handed_out.append(answers(*given).detach().clone())
        return handed_out[-1]

    session.model = stand_in(session.model, next_logits=overheard)
    with recording(subject.model.hf) as record:
        session.watch(iter(subject.frames))
        session.ask(subject.question, remember=False, decoding=Decoding(max_new_tokens=TOKENS))
    handed = torch.stack(handed_out)
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
    embeddings = torch.cat(record.embeddings)
    given = as_given(record.places.to(embeddings.device))
    states = hf.get_decoder()(inputs_embeds=embeddings[None], position_ids=given, use_cache=False).last_hidden_state
    logits: Tensor = hf.get_output_embeddings()(states[0, -TOKENS:]).float()
    return logits
