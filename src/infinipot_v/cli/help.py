"""The help, readable in any width: two columns where they fit, and one below the other where they do not."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

import typer

WIDEST = 100
NARROW = 70
"""Below this many columns, what an option does stands under its name."""
LEFT = 28
"""Columns for the names."""

Rows = list[tuple[str, str]]


def help_of(command: Any, context: Any) -> str:
    """The help of a command or a group, for typer's `get_help`. Styled; typer strips that outside a terminal."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    about = inspect.cleandoc(command.help or "").split("\n\n")
    parts = [_usage(command, context, width), *(textwrap.fill(" ".join(p.split()), width) for p in about)]
    for title, rows in _panels(command, context).items():
        parts.append(
            "\n".join([typer.style(f"{title}:", bold=True), *(line for row in rows for line in _row(*row, width))])
        )
    if command.epilog:
        parts.append("\n".join(_wrapped(line, width) for line in inspect.cleandoc(command.epilog).splitlines()))
    return "\n\n".join(parts)


def _usage(command: Any, context: Any, width: int) -> str:
    words = [f"Usage: {context.command_path}", "[OPTIONS]", *(_argument(p) for p in command.params if _is_argument(p))]
    words += ["COMMAND ..."] if hasattr(command, "commands") else []
    return textwrap.fill(" ".join(words), width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _panels(command: Any, context: Any) -> dict[str, Rows]:
    """Rows of (name, text) by panel: arguments, commands, then groups of options in the order of the signature."""
    panels: dict[str, Rows] = {}
    for param in command.get_params(context):
        if getattr(param, "hidden", False):
            continue
        panel = "Arguments" if _is_argument(param) else param.rich_help_panel or "Other"
        name = _argument(param) if _is_argument(param) else _option(param)
        panels.setdefault(panel, []).append((name, _text(param)))
    others = panels.pop("Other", [])
    for name, one in getattr(command, "commands", {}).items():
        if not one.hidden:
            panels.setdefault("Commands", []).append((name, inspect.cleandoc(one.help or "").split("\n\n")[0]))
    return {**panels, "Options" if len(panels) < 2 else "Other": others}


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return (name if param.required else f"[{name}]") + ("..." if param.nargs == -1 else "")


def _option(param: Any) -> str:
    """`-o, --option NAME=VALUE`, short names first. Of a flag that is on, the negative is what one wants to know."""
    on = param.is_flag and param.default is True
    names = ", ".join(sorted((on and param.secondary_opts) or param.opts, key=len))
    kind = "" if param.is_flag else param.metavar or param.name.upper()
    return f"{names} {kind}".strip()


def _text(param: Any) -> str:
    text = " ".join((param.help or "").split())
    if _is_argument(param) or param.is_flag or param.default in (None, "", ()):
        return text
    default = str(param.default).replace(",", ", ")  # a list may be broken
    return f"{text} [default: {default}]"


def _row(name: str, text: str, width: int) -> Iterator[str]:
    if width < NARROW:
        yield f"  {name}"
        yield _wrapped(f"      {text}", width)
        return
    lines = textwrap.wrap(text, width - LEFT, break_long_words=False, break_on_hyphens=False) or [""]
    if len(name) > LEFT - 4:
        yield f"  {name}"
    else:
        yield f"  {name:<{LEFT - 2}}{lines.pop(0)}".rstrip()
    yield from (" " * LEFT + line for line in lines)


def _wrapped(line: str, width: int) -> str:
    """One line wrapped under its own indentation; commands and names stay whole."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
