"""The command line: one file a sub-command, heavy imports inside the commands.

Manners shared by all: results on standard output, progress and messages on standard error; a mistake of the user's is
one line that says the remedy, and exit code 2; Ctrl-C is 130.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from infinipot_v.cli.ask import ask
from infinipot_v.cli.demo import demo
from infinipot_v.cli.eval import compare, evaluate
from infinipot_v.types import UserError

app = typer.Typer(
    name="infinipot-v",
    help="A memory for video that never grows: watch a stream inside a byte budget, ask about any moment at any time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(ask)
app.command()(demo)
app.command("eval")(evaluate)
app.command()(compare)


def _version(show: bool) -> None:
    if show:
        from infinipot_v import __version__

        typer.echo(f"infinipot-v {__version__}")
        raise typer.Exit()


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit: 0 done, 2 a mistake of the user's, 130 interrupted."""
    sys.exit(run())


def run() -> int:
    """Run the command line on `sys.argv` and return the exit code."""
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _complain(str(error))
    except TyperException as error:
        return _complain(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        # What could not be written is not tried again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _complain(f"cannot read or write: {error}")


def _complain(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
