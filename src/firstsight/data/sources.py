"""From what a user names to a source of arrivals."""

from pathlib import Path

from firstsight.data.filling import FolderSource
from firstsight.data.streams import LineSource, Source
from firstsight.errors import DataError


def open_source(path: str, *, follow: bool = False, journal: Path | None = None) -> Source:
    """Standard input (`-`), a file of CSV or JSON lines, or a folder of identity pictures.

    Args:
        path: what the user named.
        follow: go on as it grows.
        journal: keeps the order of the pictures of a folder: see `FolderSource`.

    Raises:
        DataError: there is none of that name.
    """
    if path != "-" and Path(path).is_dir():
        return FolderSource(path, follow=follow, journal=journal)
    if path != "-" and not Path(path).is_file():
        what = "is no file" if Path(path).exists() else "does not exist"
        raise DataError(
            f"{path} {what}.", hint="Give a file of CSV or JSON lines, a folder of pictures, or - for standard input."
        )
    return LineSource(path, follow=follow and path != "-")
