"""What every command of ours has in common: a configuration file, its own help, `--ask-at` in two words, pipes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from infinipot_v.cli.config import read_config
from infinipot_v.cli.flags import KEYWORD, spread
from infinipot_v.cli.help import help_of

PAIR = "SECONDS QUESTION"
"""The metavar of an option whose value is two words."""


class ReaderGone(Exception):
    """Nobody reads standard output any more."""


class Interrupted(Exception):
    """Ctrl-C; the message, if there is one, says what is kept."""


@contextmanager
def _translated() -> Iterator[None]:
    """typer would end on Ctrl-C and on a closed pipe by itself, without a word."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error
    except KeyboardInterrupt as error:
        raise Interrupted(*error.args) from error


def _configured(context: typer.Context, path: Path | None) -> None:
    """Take what the command line does not say from the configuration file."""
    if path is not None and not context.resilient_parsing:
        context.default_map = read_config(path, context)


CONFIG = inspect.Parameter(
    "config",
    KEYWORD,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A TOML file with any of these options; the command line overrules it.",
            is_eager=True, expose_value=False, callback=_configured,
        ),
    ],
)  # fmt: skip


class Command(TyperCommand):
    """A sub-command."""

    def get_help(self, ctx: Any) -> str:
        """The help, readable in any width."""
        return help_of(self, ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options of two words become one: typer knows no repeatable pairs."""
        pairs = {name for param in self.params if param.metavar == PAIR for name in getattr(param, "opts", ())}
        return super().parse_args(ctx, list(_joined(args, pairs)))


def _joined(args: list[str], pairs: set[str]) -> Iterator[str]:
    """`--ask-at 95 "What?"` as `--ask-at "95 What?"`, which may also be written so."""
    words = list(args)
    while words:
        word = words.pop(0)
        if word == "--":
            yield from (word, *words)
            return
        name, equals, value = word.partition("=")
        if name not in pairs or not (equals or words):
            yield word
            continue
        first = value if equals else words.pop(0)
        alone = " " in first or not words or words[0].startswith("--")
        yield from (name, first if alone else f"{first} {words.pop(0)}")


class Group(TyperGroup):
    """All sub-commands together."""

    def get_help(self, ctx: Any) -> str:
        """The help, readable in any width."""
        return help_of(self, ctx)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse, with colours off where they are not wanted."""
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            extra.setdefault("color", False)
        with _translated():
            return super().make_context(info_name, args, parent=parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command."""
        with _translated():
            return super().invoke(ctx)


class App(typer.Typer):
    """typer, with our commands: groups of options are spread out, and every command takes `--config`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)

    def command(  # type: ignore[override]
        self, name: str | None = None, **settings: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a sub-command, as typer's own does."""
        register = super().command(name, cls=Command, **settings)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            register(spread(function, CONFIG))
            return function

        return decorate
