"""The configuration file: TOML whose keys are the flags. It answers typer's defaults, so the command line overrules it.

model = "Qwen/Qwen2.5-VL-3B-Instruct"     # plain keys are for every command that is given the file
budget = "512MiB"

[option]                                  # an option of the form NAME=VALUE is a table
alpha = 0.75

[ask]                                     # a section is for one command, and overrules plain keys
fps = 2
ask-at = ["95 What is he holding?"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

NEVER = {"config", "help"}


def read_config(path: Path, context: Any) -> dict[str, Any]:
    """The values that the file at `path` gives to the parameters of a command, by the parameters' names.

    `context` is typer's. Values are given as texts, as a command line would, so that both are checked alike. Raises
    `UserError` for a file that is no TOML, an unknown key (the nearest is named), and a value of a wrong kind.
    """
    content = _parsed(path)
    command, group = context.command, getattr(context.parent, "command", None)
    commands = getattr(group, "commands", {})
    known = {key: param for param in command.params for key in _keys(param) if key not in NEVER}
    sections = {name: content.pop(name) for name in list(content) if name in commands and name not in known}
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise UserError(f"{path}: {name} is a sub-command, so it must be a section: write [{name}]")
    given = {**content, **sections.get(command.name, {})}
    values = {}
    for key, value in given.items():
        param = known.get(key.replace("_", "-"))
        if param is None:
            raise UserError(f"{path}: {_unknown(key, command.name, known, commands)}")
        values[param.name] = _value(path, key, value, param)
    return values


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no configuration file {path}: check the path") from None
    except OSError as error:
        raise UserError(f"the configuration file {path} cannot be read ({error.strerror}): give a TOML file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"the configuration file {path} is not TOML ({error}): correct it") from error


def _keys(param: Any) -> list[str]:
    """The key of a parameter: its long flag without dashes, or an argument's name."""
    if param.param_type_name == "argument":
        return [param.name.replace("_", "-")]
    return [name[2:] for name in param.opts if name.startswith("--")]


def _unknown(key: str, command: str, known: Mapping[str, Any], commands: Mapping[str, Any]) -> str:
    key = key.replace("_", "-")
    elsewhere = [name for name, other in commands.items() if any(key in _keys(param) for param in other.params)]
    if elsewhere and key not in NEVER:
        has = "has" if len(elsewhere) == 1 else "have"
        return f"{command} has no option {key!r}, {' and '.join(elsewhere)} {has}: put it into [{elsewhere[0]}]"
    meant = did_you_mean(key, [*known, *commands])
    return f"unknown key {key!r}{meant or ':'} the keys are the flags of infinipot-v {command} --help"


def _value(path: Path, key: str, value: Any, param: Any) -> Any:
    """As the command line would give it: texts, or a list of texts where a flag is repeatable or takes several."""
    if getattr(param, "is_flag", False):
        if not isinstance(value, bool):
            raise UserError(f"{path}: {key} = {value!r} must be true or false")
        return value
    several = getattr(param, "multiple", False) or param.nargs == -1
    if isinstance(value, dict) and param.metavar == "NAME=VALUE":
        return [f"{name}={_text(part)}" for name, part in value.items()]
    if isinstance(value, list) and several and not any(isinstance(part, list | dict) for part in value):
        return [_text(part) for part in value]
    if isinstance(value, list | dict):
        what = "one value or a list of values" if several else "one value"
        raise UserError(f"{path}: {key} takes {what}, not {value!r:.60}")
    return [_text(value)] if several else _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
