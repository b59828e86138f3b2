"""What went wrong, in one line that names the remedy, and the exit code.

0: done. 2: something to put right. 130: interrupted. 141: nobody reads standard output. A bug of ours: a traceback, 1.
"""

from __future__ import annotations

import errno
from typing import Any

from typer.exceptions import TyperException

from infinipot_v.cli.app import Interrupted, ReaderGone
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

WRONG, INTERRUPTED, UNREAD = 2, 130, 141

REMEDIES = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some of your quota, or write elsewhere",
    errno.EFBIG: "raise the limit (ulimit -f), or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "change the permissions, or give another path",
    errno.EPERM: "change the permissions, or give another path",
    errno.EMFILE: "close some files, or raise the limit (ulimit -n)",
}


def failure(error: BaseException) -> tuple[str, int] | None:
    """The line and the exit code of an error; None for what no user can put right."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return ": ".join(["interrupted", *map(str, error.args)]), INTERRUPTED
    if isinstance(error, ReaderGone | BrokenPipeError):
        return "error: standard output was closed before all was written: nobody reads it", UNREAD
    reason = _reason(error)
    return None if reason is None else (f"error: {' '.join(reason.split())}", WRONG)


def _reason(error: BaseException) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, TyperException):
        return _usage(error)
    if isinstance(error, OSError):
        return _system(error)
    if _out_of_memory(error):
        return "out of memory: lower --budget, --tokens-per-step or --block, or take a smaller model"
    return None


def _usage(error: Any) -> str:
    """typer's own complaints, with the nearest option and a way on."""
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context else "infinipot-v"
    missing = getattr(error, "param", None) if type(error).__name__ == "MissingParameter" else None
    if missing is not None:
        return f"{missing.metavar or missing.name.upper()} is missing: {missing.help or 'give it'} ({path} --help)"
    option = getattr(error, "option_name", None)
    if option and type(error).__name__ == "NoSuchOption":
        names = [name for param in context.command.get_params(context) for name in (*param.opts, *param.secondary_opts)]
        return f"no such option {option}{did_you_mean(option, names).replace(chr(39), '')} ({path} --help)"
    return f"{error.format_message().rstrip('.')} ({path} --help)"


def _system(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    remedy = REMEDIES.get(error.errno or 0, "check the path and the disk")
    return f"cannot read or write: {what}{error.strerror or error}; {remedy}"


def _out_of_memory(error: BaseException) -> bool:
    """Python's own, CUDA's (torch.OutOfMemoryError), and the RuntimeError of torch's CPU allocator."""
    named = {"MemoryError", "OutOfMemoryError"} & {cls.__name__ for cls in type(error).__mro__}
    return bool(named) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
