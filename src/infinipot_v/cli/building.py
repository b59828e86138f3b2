"""From the options of the command line to the objects they describe. Everything heavy is imported here, when called."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from infinipot_v.cli.options import Answers, Checkpoint, Footage, Memory
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.budget import Budget
    from infinipot_v.generate import Decoding
    from infinipot_v.models.base import Model
    from infinipot_v.policies.base import Policy
    from infinipot_v.session import Session
    from infinipot_v.sources import Source
    from infinipot_v.sources.stretch import Stretch


TEXT_TOKENS = 64
"""Of a step, where there are subtitles: two frames a second apart say some ten words."""


def source_of(video: Path, footage: Footage) -> Source:
    """Open what is to be watched."""
    from infinipot_v.sources import open_source
    from infinipot_v.sources.ahead import FRAMES

    paths = [video, *footage.then] if footage.then else video
    return open_source(
        paths, fps=footage.fps, start=footage.start, end=footage.end, subtitles=footage.subtitles, ahead=FRAMES
    )


def stretch_of(paths: list[Path], footage: Footage) -> Stretch:
    """What is to be watched, as something that can be gone on with."""
    from infinipot_v.sources.source import Span
    from infinipot_v.sources.stretch import Stretch

    return Stretch.of(paths, Span(footage.fps, footage.start, footage.end), footage.subtitles)


def limits_of(memory: Memory, footage: Footage) -> tuple[Budget, Policy]:
    """The budget and the policy; what is wrong with them, the ring or the text is found before a model is loaded."""
    from infinipot_v.budget import Budget
    from infinipot_v.policies import make_policy
    from infinipot_v.policies.options import option_pair
    from infinipot_v.reduction import make_reduction
    from infinipot_v.ring import Ring

    text_tokens(footage, memory)
    make_reduction(memory.reduce)
    Ring(memory.ring)
    budget = Budget.parse(memory.budget, keep=memory.keep, room=memory.room)
    return budget, make_policy(memory.policy, **dict(option_pair(text) for text in memory.option or ()))


def model_of(checkpoint: Checkpoint, *, noted: bool = True) -> Model:
    """Load the model that was named; none named is an error that names some. `noted`: say what pocket is."""
    from infinipot_v.cli.progress import status
    from infinipot_v.cli.quiet import quiet_libraries

    name, load = named(checkpoint), loader_of(checkpoint)
    quiet_libraries()
    if name == "pocket" and noted:
        typer.echo("note: the pocket model knows only its own synthetic world (infinipot-v demo)", err=True)
    with status(f"loading {Path(name).name}") if os.path.isdir(name) else nullcontext():
        return load()


def loader_of(checkpoint: Checkpoint) -> Callable[[], Model]:
    """What loads the model that was named, here or in another process: it can be pickled."""
    quantization = dict(_setting(text) for text in checkpoint.quantization or ())
    from infinipot_v.models.load import load_model

    options: dict[str, Any] = {"quantization_config": quantization} if quantization else {}
    return partial(
        load_model, named(checkpoint), device=checkpoint.device, dtype=checkpoint.dtype,
        device_map=checkpoint.device_map, attn_implementation=checkpoint.attn_implementation,
        revision=checkpoint.revision, **options,
    )  # fmt: skip


def _setting(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` of a quantisation; the value is true, false, a number or a text, as in TOML."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"cannot read the quantisation {text!r}: write NAME=VALUE, as in load_in_4bit=true")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def named(checkpoint: Checkpoint) -> str:
    """The model's name. Raises `UserError` that names three which fit this machine when there is none."""
    from infinipot_v.cli.suggest import no_model

    if checkpoint.model is None:
        raise no_model()
    return checkpoint.model


def decoding_of(answers: Answers, model: Model) -> Decoding:
    """Greedy, or as the checkpoint recommends; what the user said overrules either."""
    from infinipot_v.generate import Decoding

    said = {"temperature": answers.temperature, "top_p": answers.top_p, "top_k": answers.top_k}
    given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    start = Decoding.of_checkpoint(model) if answers.checkpoint_decoding else Decoding()
    return replace(
        start, max_new_tokens=answers.max_new_tokens, stop=tuple(answers.stop or ()), seed=answers.seed, **given
    )


def session_of(
    model: Model, limits: tuple[Budget, Policy], footage: Footage, memory: Memory, answers: Answers, live: bool = False
) -> Session:
    """An empty memory in front of the model. A `live` stream, whose end nobody knows, gets positions without an end."""
    from infinipot_v.session import Session

    positions = memory.positions or ("compact" if live else None)
    return Session(
        model, *limits, system=answers.system, tokens_per_step=footage.tokens_per_step, max_pixels=footage.max_pixels,
        positions=positions, block=memory.block, decoding=decoding_of(answers, model), reduce=memory.reduce,
        ring=memory.ring, text_tokens=text_tokens(footage, memory),
    )  # fmt: skip


def text_tokens(footage: Footage, memory: Memory) -> int:
    """What a step may say. Raises `UserError` where something is said and nothing may be."""
    from infinipot_v.models.base import check_text_tokens

    given = memory.text_tokens
    if given is None:
        return TEXT_TOKENS if footage.subtitles else 0
    if footage.subtitles and not given:
        raise UserError("--subtitles with --text-tokens 0: leave out one of them")
    check_text_tokens(given)
    return given
