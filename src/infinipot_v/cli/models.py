"""`infinipot-v models`: what is supported, with figures from public configurations, and what is refused and why."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from infinipot_v.cli.options import Json
from infinipot_v.cli.progress import status
from infinipot_v.cli.sizes import size, span

if TYPE_CHECKING:
    from infinipot_v.survey.catalogue import Entry


def models(as_json: Json = False) -> None:
    """List the model families: positions, layers, tokens a step, bytes a token, and what has been verified.

    The figures are those of one public checkpoint of each family, computed from its configuration.
    """
    from infinipot_v.cli.quiet import quiet_libraries

    with status("computing figures from configurations"):
        quiet_libraries()
        from infinipot_v.survey.catalogue import REFUSED, entries
        from infinipot_v.verify.ledger import status as verified

        found = entries(verified)
    if as_json:
        refused = [asdict(refusal) for refusal in REFUSED]
        typer.echo(json.dumps({"models": [asdict(entry) for entry in found], "refused": refused}))
        return
    width = min(shutil.get_terminal_size().columns, 100)
    for entry in found:
        typer.secho(entry.family, bold=True)
        for text in _lines(entry):
            typer.echo(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="    "))
    typer.secho("refused", bold=True)
    for refusal in REFUSED:
        text = f"{refusal.kind}: {refusal.reason}"
        typer.echo(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="    "))


def _lines(entry: Entry) -> Iterator[str]:
    kinds = ", ".join(f"{count} {kind.replace('_', '-')} layers" for kind, count in entry.layers.items())
    end = "no end" if entry.stream_minutes is None else f"up to {span(entry.stream_minutes)} at one frame a second"
    yield f"figures of {entry.checkpoint}, {entry.dtype}"
    yield f"{'M-RoPE' if entry.axes == 3 else '1-D RoPE'}, {entry.positions} positions, {end}; {kinds}"
    yield f"{_tokens(entry)}; {size(entry.token_bytes)} of KV a token"
    yield entry.status


def _tokens(entry: Entry) -> str:
    if entry.tokens_per_step is None:
        return "tokens a step unknown"
    text = " and the text between frames" if entry.text_between_frames else ""
    return f"{entry.tokens_per_step} tokens{text} for {'two frames' if entry.frames_per_step == 2 else 'a frame'}"
