"""A list of people and their pictures: a CSV file with the columns name and picture."""

from pathlib import Path
from typing import NamedTuple

from firstsight.data.rows import read_table
from firstsight.errors import DataError


class Entry(NamedTuple):
    """A line of the list. `picture` is the cell as it was written."""

    line: int
    name: str
    picture: str


def read_people(path: str | Path) -> list[Entry]:
    """The lines of a CSV file whose header has `name` and `picture`; other columns are passed over.

    No picture is looked at.

    Raises:
        DataError: missing, not CSV, without these columns, without a line, or with an empty cell in one.
    """
    columns, rows = read_table(path)
    for column in ("name", "picture"):
        if column not in columns:
            raise DataError(f"{path} has no column {column!r}.", hint="Its first line must name name and picture.")
    name, picture = columns.index("name"), columns.index("picture")
    entries = [Entry(line, row[name].strip(), row[picture].strip()) for line, row in rows]
    if not entries:
        raise DataError(f"{path} lists nobody.", hint="Add lines of name,picture.")
    for entry in entries:
        if not entry.name or not entry.picture:
            empty = "picture" if entry.name else "name"
            raise DataError(f"{path}, line {entry.line}: {empty} is empty.", hint="Fill it in, or remove the line.")
    return entries
