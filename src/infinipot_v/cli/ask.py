"""`infinipot-v ask VIDEO "question" ["follow-up" ...]`: watch a video in fixed memory, then answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infinipot_v.policies import make_policy, policy_names
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.generate import Decoding
    from infinipot_v.models.base import Model
    from infinipot_v.session import Session
    from infinipot_v.sources.file import VideoFile
    from infinipot_v.types import Answer


def ask(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    questions: Annotated[list[str], typer.Argument(help="A question, and follow-ups in the same dialogue.")],
    model: Annotated[str | None, typer.Option(help="A checkpoint folder or hub id (or pocket).")] = None,
    fps: Annotated[float, typer.Option(help="Frames sampled a second of video.")] = 1.0,
    start: Annotated[float | None, typer.Option(help="Second of the video to start at.")] = None,
    end: Annotated[float | None, typer.Option(help="Second of the video to end at.")] = None,
    budget: Annotated[str, typer.Option(help="The cap: tokens (6144) or bytes (512MiB).")] = "6144",
    keep: Annotated[float, typer.Option(help="Share of the tokens that a compaction leaves.")] = 0.75,
    room: Annotated[int, typer.Option(help="Slots for dialogue, question and answer.")] = 512,
    policy: Annotated[str, typer.Option(help=f"What stays: {', '.join(policy_names())}.")] = "infinipot-v",
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="A policy option, NAME=VALUE; repeatable.")
    ] = None,
    tokens_per_step: Annotated[int, typer.Option(help="Vision tokens a step at most; fixes the resolution.")] = 128,
    max_pixels: Annotated[int | None, typer.Option(help="Pixels a frame at most, where that is less.")] = None,
    positions: Annotated[str, typer.Option(help="original, or hf for transformers' own.")] = "original",
    block: Annotated[int, typer.Option(help="Steps encoded and prefilled together.")] = 4,
    system: Annotated[str | None, typer.Option(help="System prompt instead of the template's.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Length of an answer at most.")] = 128,
    temperature: Annotated[float | None, typer.Option(help="Above 0 samples; 0 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample from this much of the probability.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from so many tokens; 0: all.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling.")] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="A string that ends the answer; repeatable.")] = None,
    checkpoint_decoding: Annotated[
        bool, typer.Option(help="Decode as the checkpoint's generation_config says.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    device_map: Annotated[str | None, typer.Option(help="As in transformers, e.g. auto.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    attn_implementation: Annotated[str, typer.Option(help="sdpa, eager, flash_attention_2.")] = "sdpa",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Watch VIDEO in fixed memory and answer the QUESTIONS, one dialogue."""
    if any(not question.strip() for question in questions):
        raise UserError('a question is empty: write it in quotes, as in "What is on the table?"')
    if model is None:
        from infinipot_v.cli.suggest import no_model

        raise no_model()
    # Everything that can be wrong without the model is found before the model is loaded.
    from infinipot_v.budget import Budget
    from infinipot_v.policies.options import option_pair
    from infinipot_v.sources import open_source

    limits = Budget.parse(budget, keep=keep, room=room)
    kept_by = make_policy(policy, **dict(option_pair(text) for text in option or []))
    with open_source(video, fps=fps, start=start, end=end) as source:
        loaded = _loaded(
            model, device=device, dtype=dtype, attn_implementation=attn_implementation, device_map=device_map
        )
        decoding = _decoding(loaded, checkpoint_decoding, max_new_tokens, temperature, top_p, top_k, seed, stop or ())
        from infinipot_v.session import Session

        session = Session(
            loaded, limits, kept_by, system=system, tokens_per_step=tokens_per_step, max_pixels=max_pixels,
            positions=positions, block=block, decoding=decoding,
        )  # fmt: skip
        answers = _watch_and_answer(session, source, questions, as_json)
    if as_json:
        typer.echo(json.dumps(_result(session, source, answers, model, policy)))


def _loaded(model: str, **options: Any) -> Model:
    from infinipot_v.cli.quiet import quiet_libraries
    from infinipot_v.models.load import load_model

    quiet_libraries()
    if model == "pocket":
        typer.echo("note: the pocket model knows only its own synthetic world (infinipot-v demo)", err=True)
    return load_model(model, **options)


def _decoding(
    model: Model,
    recommended: bool,
    max_new_tokens: int,
    temperature: float | None,
    top_p: float | None,
    top_k: int | None,
    seed: int,
    stop: Sequence[str],
) -> Decoding:
    """Greedy, or as the checkpoint recommends; what the user said overrules either."""
    from infinipot_v.generate import Decoding

    said = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    start = Decoding.of_checkpoint(model) if recommended else Decoding()
    return replace(start, max_new_tokens=max_new_tokens, stop=tuple(stop), seed=seed, **given)


def _watch_and_answer(session: Session, source: VideoFile, questions: Sequence[str], quietly: bool) -> list[Answer]:
    """Watch all of the source, then ask; a question that cannot be asked is found before the first frame."""
    from infinipot_v.cli.progress import watching

    for question in questions:
        session.check_question(question)
    with watching(source, session) as frames:
        session.watch(frames)
    return [_answer(session, question, quietly) for question in questions]


def _answer(session: Session, question: str, quietly: bool) -> Answer:
    """Ask, printing the answer piece by piece unless it goes into the JSON."""
    if quietly:
        return session.ask(question)
    pieces = session.stream(question)
    typer.secho(f"> {question}", bold=True)
    while True:
        try:
            typer.echo(next(pieces), nl=False)
        except StopIteration as end:
            typer.echo()
            answer: Answer = end.value
            return answer


def _result(session: Session, source: VideoFile, answers: list[Answer], model: str, policy: str) -> dict[str, Any]:
    report = asdict(session.report())
    video = {name: report.pop(name) for name in ("frames", "steps", "seconds", "waiting_frames", "letterboxed_frames")}
    return {
        "video": {**video, "damaged": source.damaged},
        "memory": report,
        "answers": [asdict(answer) for answer in answers],
        "model": model,
        "policy": policy,
    }
