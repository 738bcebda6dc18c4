"""CSV that a spreadsheet may open: no cell is taken for a formula."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

UTF8 = "\ufeff"
"""Goes before a file: without it Excel reads UTF-8 as text of the machine's old code page."""

_FORMULA = r"(?=[\s\"']*[=+\-@＝＋－＠])"
# At the head of a cell, or behind what a spreadsheet of another country takes for the end of one.
_BARE = re.compile(r"(^|[;,|\t])" + _FORMULA)
_MARKED = re.compile(r"(^|[;,|\t])'" + _FORMULA)


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The head and a line for each row, of the columns named. What is None or has no items is empty; lists are JSON.

    An apostrophe goes before text that a spreadsheet would run: names and labels come from others.

    Example:
        >>> print(*csv_lines(("name", "margin"), [{"name": "=1+1", "margin": -0.5}]), sep="", end="")
        name,margin
        '=1+1,-0.5
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        yield _taken(text)
        writer.writerow([_cell(row.get(column)) for column in columns])
    yield _taken(text)


def csv_file(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The same for a file that Excel opens as what it is: UTF-8."""
    return chain([UTF8], csv_lines(columns, rows))


def harmless(text: str) -> str:
    """Text with an apostrophe before what a spreadsheet would run.

    Example:
        >>> harmless("=1+1")
        "'=1+1"
    """
    return _BARE.sub(r"\1'", text)


def as_typed(cell: str) -> str:
    """A cell of text without the apostrophes that `harmless` puts in.

    Example:
        >>> as_typed("'=1+1")
        '=1+1'
    """
    return _MARKED.sub(r"\1", cell)


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return json.dumps(value) if value else None
    return harmless(value) if isinstance(value, str) else value


def _taken(text: io.StringIO) -> str:
    line = text.getvalue()
    text.seek(0)
    text.truncate()
    return line
