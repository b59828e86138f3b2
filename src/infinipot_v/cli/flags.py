"""Groups of options: a frozen dataclass in a command's signature becomes one flag a field, in a panel of its own.

So a group is written once, shared by commands, and read by the help, the completion, the configuration file and the
documentation alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def spread(command: Callable[..., Any], *more: inspect.Parameter) -> Callable[..., None]:
    """The command as typer is to see it: its groups spread out into flags, and `more` flags that it is not given.

    A group is a frozen dataclass whose fields are `Annotated[type, typer.Option(...)]`, with a class variable `panel`.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {p.name: p.annotation for p in own if is_dataclass(p.annotation)}

    def run(**given: Any) -> None:
        for parameter in more:
            given.pop(parameter.name, None)
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    flags = [flag for p in own for flag in (_flags(groups[p.name]) if p.name in groups else [p.replace(kind=KEYWORD)])]
    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__annotations__ = {}
    run.__signature__ = inspect.Signature([*flags, *more])  # type: ignore[attr-defined]
    return run


def _flags(group: Any) -> Iterator[inspect.Parameter]:
    """One parameter a field, with the group's panel."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        hint = hints[field.name]
        assert get_origin(hint) is Annotated, f"{group.__name__}.{field.name} is no Annotated[type, typer.Option(...)]"
        kind, info = get_args(hint)
        info = copy(info)
        info.rich_help_panel = group.panel
        yield inspect.Parameter(field.name, KEYWORD, default=field.default, annotation=Annotated[kind, info])
