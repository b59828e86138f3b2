"""docs/cli.md: its commands can be run, its configuration is one, and its table is the command's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from infinipot_v import cli

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
TEXT = DOCS.read_text()
COMMANDS = typer.main.get_command(cli.app).commands


def command_of(words: list[str]) -> typer.core.TyperCommand:
    """The command that a line calls, the inner one of a group."""
    found = COMMANDS[words[1]]
    return found.commands[words[2]] if hasattr(found, "commands") else found


EXAMPLES = re.findall(r"`(infinipot-v [a-z].*?)`", TEXT)


def table() -> str:
    """The options of `ask`, by panel, as docs/cli.md has them."""
    lines = ["| option | what it does | default |", "|---|---|---|"]
    for param in COMMANDS["ask"].params:
        if param.param_type_name == "argument":
            continue
        name = f"{', '.join(sorted(param.opts, key=len))} {param.metavar or ''}".strip()
        default = "" if param.is_flag or param.default is None else f"`{param.default}`"
        lines.append(f"| `{name}` | {param.help} | {default} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_options_is_the_commands_own():
    assert TEXT.rpartition("-->")[2].strip() == table().strip(), f"put this at the end of docs/cli.md:\n{table()}"


def test_every_command_has_an_example():
    assert {shlex.split(example)[1] for example in EXAMPLES} >= set(COMMANDS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_options_of_an_example_exist(run, example):
    """With --help behind it, a command reads all of its line and does nothing."""
    code, out, err = run(*shlex.split(example)[1:], "--help")
    assert code == 0 and err == "" and "Usage: " in out
    command = command_of(shlex.split(example))
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    assert {word for word in shlex.split(example) if word.startswith("--")} <= known


def test_the_configuration_is_one(run, clip, checkpoint, tmp_path):
    text = re.search(r"```toml\n(.*?)```", TEXT, re.S)[1].replace(
        "Qwen/Qwen2.5-VL-3B-Instruct", str(checkpoint("qwen2_vl"))
    )
    path = tmp_path / "docs.toml"
    path.write_text(text.replace('"95 ', '"2 '))
    code, out, err = run("ask", clip, "--config", path, "--max-new-tokens", 2)
    assert code == 0, err
    assert out.startswith("> [2 s] What is he holding?\n") and "> Where is it now?\n" in out
