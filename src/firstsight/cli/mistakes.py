"""What was typed wrong, said as all else is: one sentence, and what to do."""

import inspect
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, UnusedCliTokensError
from cyclopts.exceptions import ConsumeMultipleError

_KINDS = {int: "a whole number", float: "a number", str: "text", Path: "a path", date: "a date such as 2026-11-25"}


def explain(error: CycloptsError) -> tuple[str, str]:
    """The sentence, and the hint."""
    command = " ".join(("firstsight", *(error.command_chain or ())))
    see = f"See {command} --help"
    example = _example(error)
    if isinstance(error, MissingArgumentError) and not isinstance(error, ConsumeMultipleError):
        return _missing(error, command), f"Type: {example} (see {command} --help)" if example else see
    if isinstance(error, CoercionError) and error.token and error.target_type and error.msg is None:
        name = error.token.keyword or _placeholder(error)
        return f"{error.token.value} is no value for {name}.", f"Give {' or '.join(_wanted(error.target_type))}. {see}"
    if isinstance(error, UnusedCliTokensError):
        return f"{command} does not take {' '.join(error.unused_tokens or ())}.", see
    return str(error), see


def _missing(error: MissingArgumentError, command: str) -> str:
    assert error.argument
    if error.keyword:
        return f"{error.keyword} needs a value."
    flag = error.argument.index is None
    return f"{command} needs {error.argument.name if flag else _placeholder(error)}."


def _placeholder(error: CycloptsError) -> str:
    return error.argument.name.lstrip("-").upper() if error.argument else "it"


def _example(error: CycloptsError) -> str:
    """The example in the help of the verb."""
    lines = (inspect.getdoc(error.target) or "").splitlines() if error.target else []
    return next((line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")), "")


def _wanted(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Literal:
        yield from map(str, get_args(hint))
    elif members := [member for member in get_args(hint) if member not in (type(None), ...)]:
        for member in members:
            yield from _wanted(member)
    else:
        yield _KINDS.get(hint) or str(getattr(hint, "__name__", hint))
