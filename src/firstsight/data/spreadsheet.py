"""CSV that a spreadsheet may open: no cell is taken for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# At the head of a cell, or behind what a spreadsheet of another country takes for the end of one.
_FORMULA = re.compile(r"(^|[;,|\t])(?=[\s\"']*[=+\-@＝＋－＠])")


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The head and a line for each row, of the columns named. What is None is empty.

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
        writer.writerow([_safe(row.get(column)) for column in columns])
    yield _taken(text)


def _safe(cell: Any) -> Any:
    return _FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell


def _taken(text: io.StringIO) -> str:
    line = text.getvalue()
    text.seek(0)
    text.truncate()
    return line
