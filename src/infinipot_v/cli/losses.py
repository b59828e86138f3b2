"""What did not reach the memory, said on standard error when watching has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from infinipot_v.session import Session


class Harmed(Protocol):
    """What knows of its damage: a source."""

    @property
    def damage(self) -> str | None: ...


def note_losses(source: Harmed, session: Session) -> None:
    """A line for damage of the source, and one for text that had no place."""
    if source.damage:
        typer.echo(f"note: {source.damage}", err=True)
    if cut := session.report().cut_tokens:
        most = session.settings.text_tokens
        typer.echo(f"note: {cut} tokens of text were left out, beyond {most} a step (--text-tokens)", err=True)
