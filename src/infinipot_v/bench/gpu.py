"""`infinipot-v bench gpu`: is it exact there, how fast is it, what does it take; shape by shape, until time is up."""

from __future__ import annotations

from functools import partial

from infinipot_v.bench import answer, exactness, memory, positions, stream
from infinipot_v.bench.models import model_cases
from infinipot_v.bench.plan import Bench, Measure, Plan
from infinipot_v.bench.shapes import DEFAULT, Shape
from infinipot_v.bench.subject import Sizes

MEASURES: dict[str, Measure] = {
    "exactness": exactness.measure,
    "stream": stream.measure,
    "answer": answer.measure,
    "positions": positions.measure,
    "memory": memory.measure,
}
"""In the order in which they run: what takes longest comes last."""

HOW = {
    "weights": "random, std gain / sqrt(fan in), made on the device; tokenizer and template are those of the tests",
    "spread": "interquartile range; rows that are compared take turns",
    "exactness": "logits of the question against one plain forward over the same embeddings at the same positions; "
    "pieces: plain Hugging Face with its own cache, in the same pieces",
    "stream": stream.HOW,
    "memory": memory.HOW,
    "answer, positions": answer.HOW,
    "position_limit": "families with one position a token get as many positions as the longest control needs",
}


def chosen(plan: Plan, shape: Shape) -> tuple[str, ...]:
    """Shapes too small for figures of speed and memory are only checked for exactness."""
    return ("exactness",) if shape.exact_only else tuple(plan.bench.measures)


GPU = Bench(
    name="gpu", measures=MEASURES, how=HOW, cases=partial(model_cases, chosen=chosen), shapes=DEFAULT, device="cuda",
    sizes=Sizes(),
    quick=Sizes(budgets=(96, 48), seen=(60, 120, 240), answer_seen=160, answer_tokens=4, steps=16, exact_steps=5,
                repeats=1),
    takes=frozenset({"layers", "threads", "budgets", "seen", "answer_seen", "answer_tokens", "steps", "exact_steps",
                     "block", "repeats"}),
)  # fmt: skip
