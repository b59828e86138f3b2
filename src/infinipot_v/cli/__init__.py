"""The command line: one file a sub-command, heavy imports inside the commands.

Manners shared by all: results on standard output, progress and messages on standard error; a mistake of the user's is
one line that says the remedy, and exit code 2; Ctrl-C is 130. docs/cli.md has the rest.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from infinipot_v.cli import ask as asking
from infinipot_v.cli import bench as benching
from infinipot_v.cli import doctor as examining
from infinipot_v.cli import memory as remembering
from infinipot_v.cli import verify as verifying
from infinipot_v.cli import watch as watching
from infinipot_v.cli.app import App
from infinipot_v.cli.compare import compare
from infinipot_v.cli.demo import demo
from infinipot_v.cli.eval import evaluate
from infinipot_v.cli.failures import failure
from infinipot_v.cli.field import merge
from infinipot_v.cli.models import models
from infinipot_v.cli.policies import policies
from infinipot_v.cli.published import published
from infinipot_v.cli.quiet import own_warnings_only

NAME = "infinipot-v"

app = App(
    name=NAME,
    help="A memory for video that never grows: watch a stream inside a byte budget, ask about any moment at any time.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=asking.EXAMPLES)(asking.ask)
app.command(epilog=watching.EXAMPLES)(watching.watch)
app.add_typer(remembering.app, name="memory")
app.command()(demo)
app.command("eval")(evaluate)
app.command("eval-merge")(merge)
app.command()(compare)
app.command()(published)
app.command(epilog=benching.EXAMPLES)(benching.bench)
app.command()(policies)
app.command()(models)
app.command(epilog=examining.EXAMPLES)(examining.doctor)
app.command(epilog=verifying.EXAMPLES)(verifying.verify)


def _version(show: bool) -> None:
    if show:
        from infinipot_v import __version__

        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _global(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line and exit; the codes are those of failures.py."""
    sys.exit(run())


def run() -> int:
    """Run the command line on `sys.argv` and return the exit code."""
    try:
        with own_warnings_only():
            code = app(standalone_mode=False, prog_name=NAME)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as error:
        known = failure(error)
        if known is None:
            raise
        _give_up_output()
        if sys.stderr is not None:
            print(known[0], file=sys.stderr)
        return known[1]


def _give_up_output() -> None:
    """What could not be written is not tried again when Python exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
