"""How far our streamed logits are from plain Hugging Face's, and how far it is from itself when it runs in pieces."""

from __future__ import annotations

import torch
from torch import Tensor

from infinipot_v.bench.feeding import Feed
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.plain import in_pieces, logits_of, one_shot, recorded
from infinipot_v.bench.subject import QUESTION, Subject
from infinipot_v.generate import Decoding

UNITS = {"max-abs": "logits", "cosine": "cosine", "argmax": "share"}


def measure(subject: Subject, notebook: Notebook) -> None:
    """The question's logits against one plain forward over the same tokens at the same positions, all of it held.

    Rows, a position scheme each: `ours`, and as the yardstick `pieces`, which is plain Hugging Face in the same pieces
    with its own cache; both against one plain forward. `ours-from-pieces` is how far those two are from each other.
    Repeats differ in what is shown.
    """
    for positions in ("original", "compact"):
        found: dict[str, list[Tensor]] = {"ours": [], "pieces": [], "ours-from-pieces": []}
        spread = []
        for seed in range(subject.sizes.repeats):
            subject.deadline.check()
            whole, ours, pieces = _compared(subject, positions, seed)
            spread.append(float(whole.std()))
            for name, (one, other) in zip(found, ((ours, whole), (pieces, whole), (ours, pieces)), strict=True):
                found[name].append(apart(one, other))
        _write(notebook, positions, found)
        notebook.row(f"{positions}/logits-std", spread, "logits")


def _write(notebook: Notebook, positions: str, found: dict[str, list[Tensor]]) -> None:
    for number, (figure, unit) in enumerate(UNITS.items()):
        values = {name: [float(row[number]) for row in rows] for name, rows in found.items()}
        for name in found:
            notebook.row(f"{positions}/{name}/{figure}", values[name], unit)
        if figure == "max-abs":
            notebook.ratio(f"{positions}, max-abs of ours over pieces", values["ours"], values["pieces"])


def _compared(subject: Subject, positions: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the question, `[tokens, vocabulary]`: of one plain forward, ours, and plain ones in pieces."""
    hf, steps = subject.model.hf, subject.sizes.exact_steps
    session = subject.session(tokens=max(subject.sizes.budget, steps * subject.step_tokens), positions=positions)
    with recorded(hf) as run:
        Feed(subject, session, seed=seed).steps(steps)
        session.ask(QUESTION, remember=False, decoding=Decoding(max_new_tokens=1))
    asked = len(run.embeddings[-1])
    whole, pieces = one_shot(hf, run)[-asked:], in_pieces(hf, run)[-asked:]
    return logits_of(hf, whole), logits_of(hf, run.states[-1]), logits_of(hf, pieces)


def apart(one: Tensor, other: Tensor) -> Tensor:
    """The largest absolute difference, the least cosine of a token's logits, and the share of equal argmaxes."""
    cosine = torch.nn.functional.cosine_similarity(one.double(), other.double(), dim=-1).min()
    agreed = (one.argmax(-1) == other.argmax(-1)).double().mean()
    return torch.stack([(one - other).abs().max().double(), cosine, agreed]).cpu()
