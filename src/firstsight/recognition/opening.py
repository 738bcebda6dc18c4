"""From a path or a URL to the storage of a gallery."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from firstsight.errors import GalleryError, MissingExtra
from firstsight.recognition.sqlite import SqliteStorage
from firstsight.recognition.storage import Storage

_HINT = "Give a path, sqlite:///PATH, or postgresql://USER@HOST/DATABASE."


def open_storage(url: str | Path) -> Storage:
    """The storage at a path or URL, made if it is a file that is not there.

    Raises:
        GalleryError: no place for a gallery, not a gallery, or one from a newer firstsight.
        MissingExtra: PostgreSQL without its driver.
        StorageError: damaged, locked, read-only, out of reach, or the disk is full.
    """
    if isinstance(url, Path) or "://" not in url:
        return SqliteStorage(Path(url).expanduser())
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise GalleryError(f"{url} is not the URL of a database.", hint=_HINT) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        in_memory = parsed.database in (None, "", ":memory:")
        return SqliteStorage(None if in_memory else Path(str(parsed.database)))
    if backend != "postgresql":
        raise GalleryError(f"Galleries on {backend} are not supported.", hint=_HINT)
    try:
        from firstsight.recognition.postgres import PostgresStorage
    except ImportError as error:
        raise MissingExtra(
            "A gallery on PostgreSQL needs psycopg, which is not installed.", extra="postgres"
        ) from error
    return PostgresStorage(parsed)
