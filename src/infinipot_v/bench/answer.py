"""How long a question takes after a long stream: plain Hugging Face, our full cache, ours at each budget; in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from infinipot_v.bench import prefill
from infinipot_v.bench.arithmetic import Machine, Need, measured, seconds
from infinipot_v.bench.feeding import Feed, endless, without_prefill
from infinipot_v.bench.meter import fits
from infinipot_v.bench.models import model_cases
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.plain_session import PlainSession, stock_answers
from infinipot_v.bench.plan import Bench
from infinipot_v.bench.subject import QUESTION, Sizes, Subject
from infinipot_v.bench.timing import interleaved
from infinipot_v.dialogue import Dialogue
from infinipot_v.generate import Decoding
from infinipot_v.session import Session
from infinipot_v.types import Answer

FEEDING_BLOCK = 12
"""Steps that come together while a memory is only being filled: the memory is the same."""

COPIED = 2.0
"""How often keys and values are read or written to make a new, longer copy of them with every token."""

TURNED = 1.0
"""The same where keys are turned as they are read: half of the bytes, read and written."""

HOW = (
    "memories are filled with random keys and values; wall-clock times of Session.ask, and of the same question and "
    "decode loop over a stock model and its own cache (chunked); end tokens are never chosen"
)

Watcher = Session | PlainSession
Maker = Callable[..., Watcher]


def measure(subject: Subject, notebook: Notebook) -> None:
    """Time to first token and tokens a second behind `answer_seen` tokens, measured and as arithmetic has them."""
    sessions: dict[str, Watcher] = {}
    for name, make in contenders(subject).items():
        subject.deadline.check()
        session = fits(partial(filled, subject, make, subject.sizes.answer_seen), subject.device)
        if session is None:
            notebook.missing(f"{name}/first-token", "ms", "out of memory")
        else:
            sessions[name] = session
    answers = asked(subject, sessions)
    for name, session in sessions.items():
        firsts = [1000 * answer.first_token_seconds for answer in answers[name]]
        notebook.row(f"{name}/first-token", firsts, "ms", f"{session.report().held_tokens} tokens held")
        notebook.row(f"{name}/tokens-per-second", rates(answers[name]), "tokens/s")
    _compare(subject, notebook, sessions, answers)


def contenders(subject: Subject) -> dict[str, Maker]:
    """Makers of sessions by name, which take the model to be filled with."""
    ours = {f"ours-{tokens}": partial(subject.session, "infinipot-v", tokens, block=FEEDING_BLOCK)
            for tokens in subject.sizes.budgets}  # fmt: skip
    full = partial(subject.session, "full", block=FEEDING_BLOCK)
    return {"chunked": partial(PlainSession, subject), "full": full, **ours}


def filled(subject: Subject, make: Maker, tokens: int) -> Watcher:
    """A session that has seen `tokens` tokens. Raises `TimeUp`."""
    session = make(model=without_prefill(subject.model))
    Feed(subject, session, FEEDING_BLOCK).until(tokens)
    session.model = endless(subject.model if isinstance(session, Session) else stock_answers(subject.model))
    return session


def asked(subject: Subject, sessions: dict[str, Watcher]) -> dict[str, list[Answer]]:
    """Answers of sessions that take turns, after one each that is not counted."""
    decoding = Decoding(max_new_tokens=subject.sizes.answer_tokens)
    calls = {name: partial(s.ask, QUESTION, remember=False, decoding=decoding) for name, s in sessions.items()}
    subject.deadline.check()
    interleaved(calls, 1)
    subject.deadline.check()
    return interleaved(calls, subject.sizes.repeats)


def rates(answers: list[Answer]) -> list[float]:
    """Tokens a second behind the first token."""
    return [(a.tokens - 1) / (a.seconds - a.first_token_seconds) for a in answers]


@dataclass(frozen=True)
class Fixed:
    """Seconds that a question of `tokens` tokens, and every further token, take beside arithmetic and bytes."""

    tokens: int
    question: float
    token: float

    @classmethod
    def of(cls, subject: Subject, need: Need, machine: Machine) -> Fixed:
        """Measured behind a step or two, where next to nothing is held."""
        session = filled(subject, partial(subject.session, "full", block=1), subject.step_tokens)
        tokens = len(Dialogue(subject.model.prompt, None).prepare(QUESTION, 4096, 1).ids)
        answers, held = asked(subject, {"": session})[""], session.report().held_tokens
        first, each = median(a.first_token_seconds for a in answers), 1 / median(rates(answers))
        least = [seconds(need, machine, queries, held) for queries in (tokens, 1)]
        return cls(tokens, max(0.0, first - least[0]), max(0.0, each - least[1]))


def _compare(
    subject: Subject, notebook: Notebook, sessions: dict[str, Watcher], answers: dict[str, list[Answer]]
) -> None:
    """Each of ours against both full caches: measured, predicted, and predicted with all that a pass costs."""
    machine, need = measured(subject.model, slots=subject.sizes.answer_seen), Need.of(subject.model)
    fixed = Fixed.of(subject, need, machine)
    notebook.row("machine/fixed-question", [1000 * fixed.question], "ms", f"{fixed.tokens} tokens")
    notebook.row("machine/fixed-token", [1000 * fixed.token], "ms", "Python, launches, small matrices")
    for what, rates_of in (("product", (machine.flops, machine.bytes)),
                           ("attention", (machine.attention_flops, machine.attention_bytes))):  # fmt: skip
        notebook.row(f"machine/{what}-arithmetic", [rates_of[0] / 1e9], "GFLOP/s", "many queries, the model's dtype")
        notebook.row(f"machine/{what}-memory", [rates_of[1] / 1e9], "GB/s", "one query, the model's dtype")
    notebook.row("machine/stock-attention-memory", [machine.stock_bytes / 1e9], "GB/s", "one query, a head at a time")
    for ours in (name for name in sessions if name.startswith("ours-")):
        for other in (name for name in ("chunked", "full") if name in sessions):
            firsts = [[a.first_token_seconds for a in answers[name]] for name in (other, ours)]
            notebook.ratio(f"first-token, {other} over {ours}", *firsts)
            notebook.ratio(f"tokens-per-second, {ours} over {other}", rates(answers[ours]), rates(answers[other]))
            _predict(notebook, need, machine, fixed, {name: sessions[name] for name in (other, ours)})


def _predict(notebook: Notebook, need: Need, machine: Machine, fixed: Fixed, pair: dict[str, Watcher]) -> None:
    (other, full), (ours, small) = pair.items()
    for what, queries, more in ((f"first-token, {other} over {ours}", fixed.tokens, fixed.question),
                                (f"tokens-per-second, {ours} over {other}", 1, fixed.token)):  # fmt: skip
        held = [(session, session.report().held_tokens) for session in (full, small)]
        least = [seconds(need, machine, queries, tokens) for _, tokens in held]
        whole = [
            more + seconds(need, machine, queries, tokens, copies_of(session), stock=not isinstance(session, Session))
            for session, tokens in held
        ]
        notebook.ratio(f"{what}, predicted", least[:1], least[1:])
        notebook.ratio(f"{what}, predicted with all costs", whole[:1], whole[1:])


def copies_of(session: Watcher) -> float:
    """How often a session moves keys and values beside reading them (see `arithmetic.seconds`)."""
    if not isinstance(session, Session):
        return COPIED
    return TURNED if session.cache.rotation else 0.0


ANSWER = Bench(
    name="answer", measures={"answer": measure, "prefill": prefill.measure}, cases=model_cases, shapes=("0.5b",),
    layers=6,
    how={
        "weights": "random; every figure is one of speed",
        "answer": HOW,
        "predicted": "bench/arithmetic.py: the slower of arithmetic and memory, for the weights and for the keys and "
        "values, at the rates that products and attention were measured to reach here; with all costs: "
        "Hugging Face's growing cache reads and writes all keys and values with every token, and its query heads read "
        "those of their group each for itself; compact positions read and write all keys; and what a pass costs behind "
        "a step or two, beside its arithmetic",
        "prefill": prefill.HOW,
    },
    sizes=Sizes(budgets=(12_500, 3_125), seen=(1,), answer_seen=50_000, answer_tokens=16, repeats=5),
    quick=Sizes(budgets=(160, 40), seen=(1,), answer_seen=640, answer_tokens=4, repeats=2),
    parts=(4, 16),
    takes=frozenset({"layers", "threads", "budgets", "answer_seen", "answer_tokens", "block", "repeats"}),
)  # fmt: skip
