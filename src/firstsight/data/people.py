"""A list of people and their pictures: a CSV file with the columns name and picture."""

from pathlib import Path
from typing import NamedTuple

from firstsight.data.rows import read_lines
from firstsight.data.spreadsheet import as_typed
from firstsight.errors import DataError


class Entry(NamedTuple):
    """A line of the list. `fault` says why it names nobody or no picture; it is empty where it does."""

    line: int
    name: str
    picture: str
    fault: str = ""


def read_people(path: str | Path) -> list[Entry]:
    """The lines of a CSV file whose header has `name` and `picture`; other columns are passed over.

    No picture is looked at.

    Raises:
        DataError: missing, not CSV, without these columns, or without a line.
    """
    columns, rows = read_lines(path)
    for column in ("name", "picture"):
        if column not in columns:
            raise DataError(
                f"{path} has no column {column!r}.",
                hint="Its first line must name name and picture, with a comma between them.",
            )
    places = columns.index("name"), columns.index("picture")
    entries = [_entry(line, row, places, len(columns)) for line, row in rows]
    if not entries:
        raise DataError(f"{path} lists nobody.", hint="Add lines of name,picture.")
    return entries


def _entry(line: int, row: list[str], places: tuple[int, int], width: int) -> Entry:
    name, picture = (as_typed(row[place].strip()) if place < len(row) else "" for place in places)
    fault = ""
    if len(row) != width:
        fault = f"The line has {len(row)} cells, and the header has {width}: a comma in a cell needs quotes around it."
    elif not name or not picture:
        fault = f"The {'picture' if name else 'name'} is empty."
    return Entry(line, name, picture, fault)
