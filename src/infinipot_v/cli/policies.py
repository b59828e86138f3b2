"""`infinipot-v policies`: what there is, what stays under it, and its options; read from the classes themselves."""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from infinipot_v.cli.options import Json


def policies(as_json: Json = False) -> None:
    """List the policies: what stays, and the options for -o with their defaults."""
    listed = list(described())
    if as_json:
        typer.echo(json.dumps({"policies": listed}))
        return
    width = min(shutil.get_terminal_size().columns, 100)
    for policy in listed:
        typer.secho(policy["name"], bold=True)
        typer.echo(textwrap.fill(policy["stays"], width, initial_indent="  ", subsequent_indent="  "))
        for option in policy["options"]:
            choices = f" ({' or '.join(option['choices'])})" if option["choices"] else ""
            text = f"-o {option['name']}={_plain(option['default'])}{choices}"
            typer.echo(textwrap.fill(text, width, initial_indent="    ", subsequent_indent="        "))


def described() -> Iterator[dict[str, Any]]:
    """`name`, `stays` and `options` (`name`, `default`, `choices` or null) of every policy."""
    from infinipot_v.policies import policy_class, policy_names

    for name in policy_names():
        cls = policy_class(name)
        hints = get_type_hints(cls)
        options = [
            {"name": field.name, "default": field.default, "choices": _choices(hints[field.name])}
            for field in fields(cls)
        ]
        about = inspect.getdoc(sys.modules[cls.__module__]) or ""
        yield {"name": name, "stays": " ".join(about.split("\n\n")[0].split()), "options": options}


def _choices(hint: object) -> list[str] | None:
    return list(get_args(hint)) if get_origin(hint) is Literal else None


def _plain(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
