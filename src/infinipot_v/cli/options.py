"""The options that commands share, in four groups. Flags, help, completion, config keys and docs/cli.md are read here.

The defaults are those of the classes behind them; a test keeps them equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from infinipot_v.cli.complete import Names, among
from infinipot_v.cli.suggest import SUGGESTIONS
from infinipot_v.policies import policy_names
from infinipot_v.reduction import reduction_names

POSITIONS = ("original", "compact", "hf")
DEVICES = ("auto", "cpu", "cuda", "cuda:0")
DTYPES = ("auto", "float32", "bfloat16", "float16")
ATTENTIONS = ("auto", "sdpa", "eager", "flash_attention_2")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def models() -> Iterable[str]:
    """Checkpoints worth completing."""
    return ["pocket", *(suggestion.name for suggestion in SUGGESTIONS)]


def flag(metavar: str | None, help: str, *names: str, choices: Names = (), complete: Any = None) -> Any:
    """A typer option: its metavar (None: a flag without a value), and the names, or the function, that complete it."""
    complete = complete or (among(choices) if choices else None)
    return typer.Option(*names, metavar=metavar or "", help=help, autocompletion=complete)


@dataclass(frozen=True)
class Footage:
    """What is watched, and how densely."""

    panel: ClassVar[str] = "Video"

    then: Annotated[list[Path] | None, flag("VIDEO", "Go on with this one, as the same stream; repeatable.")] = None
    fps: Annotated[float, flag("RATE", "Frames sampled a second of video.")] = 1.0
    start: Annotated[float | None, flag("SECONDS", "Second of the stream to start at.")] = None
    end: Annotated[float | None, flag("SECONDS", "Second of the stream to end before.")] = None
    subtitles: Annotated[
        Path | None, flag("FILE", "What is said, as .srt, .vtt or .ass, or a video with a track of text: VIDEO itself.")
    ] = None
    tokens_per_step: Annotated[
        int | None, flag("COUNT", "Vision tokens a step at most, which fixes the resolution; 128 where it is free.")
    ] = None
    max_pixels: Annotated[int | None, flag("COUNT", "Pixels a frame at most, where that is less.")] = None


@dataclass(frozen=True)
class Memory:
    """The cap, and what stays under it."""

    panel: ClassVar[str] = "Memory"

    budget: Annotated[str, flag("SIZE", "The cap: tokens (6144) or bytes (512MiB).")] = "6144"
    keep: Annotated[float, flag("SHARE", "Share of the tokens that a compaction leaves.")] = 0.75
    room: Annotated[int, flag("COUNT", "Slots for dialogue, question and answer.")] = 512
    policy: Annotated[
        str,
        flag("NAME", f"What stays: {', '.join(policy_names())}. See infinipot-v policies.", choices=policy_names),
    ] = "infinipot-v"
    option: Annotated[
        list[str] | None, flag("NAME=VALUE", "An option of the policy; repeatable.", "--option", "-o")
    ] = None
    positions: Annotated[
        str | None,
        flag(
            "NAME",
            "original, compact (re-assigned by rank; the stream has no end), or hf (transformers' own). "
            "By default what suits the model.",
            choices=POSITIONS,
        ),
    ] = None
    reduce: Annotated[
        str | None,
        flag(
            "NAME",
            f"What is left out before the language model: {', '.join(reduction_names())}; options behind colons, as in "
            "longvu:window=4.",
            choices=reduction_names,
        ),
    ] = None
    ring: Annotated[int, flag("COUNT", "Steps shown once more, whole, right before a question.")] = 0
    text_tokens: Annotated[
        int | None, flag("COUNT", "Tokens of text that a step may bring; 64 with --subtitles, else none.")
    ] = None
    block: Annotated[int, flag("COUNT", "Steps encoded and prefilled together; changes the speed only.")] = 4


@dataclass(frozen=True)
class Saving:
    """Where the memory is kept, and how often on the way."""

    panel: ClassVar[str] = "Saving"

    save: Annotated[Path | None, flag("FILE", "Where the memory goes, as in day.ivm.safetensors.")] = None
    resume: Annotated[Path | None, flag("FILE", "Go on with this saved memory, and save it there unless --save.")] = (
        None
    )
    autosave: Annotated[float, flag("SECONDS", "Save on the way, every so many seconds of the clock; 0: never.")] = 60.0
    autosave_frames: Annotated[int | None, flag("COUNT", "Save on the way, every so many frames.")] = None
    autosave_keep: Annotated[int, flag("COUNT", "Saves that stay: the newest, and older ones as day.1...")] = 1


@dataclass(frozen=True)
class Answers:
    """How an answer is decoded."""

    panel: ClassVar[str] = "Answer"

    system: Annotated[str | None, flag("TEXT", "System prompt instead of the template's.")] = None
    max_new_tokens: Annotated[int, flag("COUNT", "Length of an answer at most.")] = 128
    temperature: Annotated[float | None, flag("NUMBER", "Above 0 samples; 0 is greedy.")] = None
    top_p: Annotated[float | None, flag("SHARE", "Sample from this much of the probability.")] = None
    top_k: Annotated[int | None, flag("COUNT", "Sample from so many tokens; 0: all.")] = None
    seed: Annotated[int, flag("NUMBER", "Seed of sampling.")] = 0
    stop: Annotated[list[str] | None, flag("TEXT", "A string that ends the answer; repeatable.")] = None
    checkpoint_decoding: Annotated[
        bool,
        flag(
            None, "Decode as the checkpoint's generation_config.json says.",
            "--checkpoint-decoding/--no-checkpoint-decoding",
        ),
    ] = False  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """Which model, and where and how it is loaded."""

    panel: ClassVar[str] = "Model"

    model: Annotated[
        str | None, flag("NAME", "A checkpoint folder or hub id, or pocket, the embedded model.", choices=models)
    ] = None
    revision: Annotated[str | None, flag("NAME", "Branch, tag or commit of a hub id.")] = None
    device: Annotated[str, flag("NAME", "auto, cpu, cuda, cuda:1, ...", choices=DEVICES)] = "auto"
    device_map: Annotated[str | None, flag("NAME", "As in transformers, e.g. auto.")] = None
    dtype: Annotated[str, flag("NAME", "auto, float32, bfloat16, float16.", choices=DTYPES)] = "auto"
    attn_implementation: Annotated[str, flag("NAME", "auto, sdpa, eager, flash_attention_2.", choices=ATTENTIONS)] = (
        "auto"
    )
    quantization: Annotated[
        list[str] | None,
        flag("NAME=VALUE", "Quantise while loading, e.g. load_in_4bit=true; repeatable. A checkpoint that is quantised "
             "already needs nothing."),
    ] = None  # fmt: skip
