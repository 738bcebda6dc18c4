"""The database under a gallery: opened, brought to the newest format, its failures said in one sentence.

All that is particular to SQLite is here; schema.py and gallery.py are plain SQLAlchemy.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from firstsight.errors import GalleryError, StorageError
from firstsight.recognition.schema import FORMAT, VERSION_TABLE

BUSY_SECONDS = 10.0  # how long to wait for another program's lock

_PERMISSIONS = "Change the permissions, or name another gallery."
_FAILURES = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "Try again when it is done, or end it."),
    sqlite3.SQLITE_FULL: ("cannot be written: the disk is full", "Free some space and try again."),
    sqlite3.SQLITE_IOERR: ("cannot be used: the disk is full or failing", "Free some space, or check the disk."),
    sqlite3.SQLITE_READONLY: ("cannot be written: it or its folder is read-only", _PERMISSIONS),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened: it or its folder is read-only", _PERMISSIONS),
    sqlite3.SQLITE_CORRUPT: ("is damaged or cut short", "Put a backup in its place, or name another gallery."),
    sqlite3.SQLITE_NOTADB: ("is not a gallery: it is no database", "Name a gallery, or a new file."),
}


class Storage:
    """One database in the newest format. `where` names it in messages.

    Raises:
        GalleryError: not a gallery, or one from a newer firstsight.
        StorageError: damaged, locked, read-only, or the disk is full.
    """

    def __init__(self, url: str | Path) -> None:
        self._url = _parsed(url)
        self.where = self._url.database or "the gallery in memory"
        self._engine = _engine(self._url)
        self._writer = self._engine.execution_options(writes=True)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A consistent view of the database while the block runs."""
        with in_one_sentence(self.where), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction: all that the block wrote is on the disk afterwards, or nothing if it raised."""
        with in_one_sentence(self.where), self._writer.begin() as connection:
            yield connection

    def empty_log(self) -> None:
        """Move the write-ahead log into the database and cut it to nothing: it holds what pages held before.

        Raises:
            StorageError: another program is still reading it.
        """
        if not self._url.database:
            return
        busy, *_ = self._outside_transaction("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StorageError(
                f"{self.where}-wal cannot be emptied while another program reads the gallery.",
                hint="End that program: the log is erased as the last one closes the gallery.",
            )

    def close(self) -> None:
        self._engine.dispose()

    def _open(self) -> None:
        with self.reading() as connection:
            found = _format(connection, self.where)
        if found is None:
            self._keep_log()  # not sooner: the file might have been another program's
        elif found > FORMAT:
            raise GalleryError(
                f"{self.where} was written by a newer firstsight (format {found}; this one knows up to {FORMAT}).",
                hint="Type: pip install --upgrade firstsight",
            )
        if found != FORMAT:
            with self.writing() as connection:
                _migrate(connection)

    def _keep_log(self) -> None:
        """Have a write-ahead log from now on. Where others make the same gallery just now, SQLite does not wait."""
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._outside_transaction("PRAGMA journal_mode = WAL")
            except StorageError as error:
                if getattr(error.__cause__, "sqlite_errorcode", 0) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
            else:
                return

    def _outside_transaction(self, pragma: str) -> tuple[Any, ...]:
        with in_one_sentence(self.where):
            connection = self._engine.raw_connection()
            try:
                row: tuple[Any, ...] = connection.cursor().execute(pragma).fetchone()
            finally:
                connection.close()
            return row


def _parsed(url: str | Path) -> sa.URL:
    if isinstance(url, Path) or "://" not in url:
        return _file_url(Path(url).expanduser())
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise GalleryError(f"{url} is not the URL of a database.", hint="Give a path, or sqlite:///PATH.") from error
    if parsed.get_backend_name() != "sqlite":
        raise GalleryError(
            f"Galleries on {parsed.get_backend_name()} are not supported.", hint="Give a path, or sqlite:///PATH."
        )
    in_memory = parsed.database in (None, "", ":memory:")
    return parsed.set(database=None) if in_memory else _file_url(Path(str(parsed.database)))


def _file_url(path: Path) -> sa.URL:
    if path.is_dir():
        raise GalleryError(f"{path} is a folder, not a gallery.", hint=f"Name a file: {path / 'gallery.sqlite'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {path.parent} cannot be made: {error.strerror}.", hint="Name a gallery in another folder."
        ) from error
    return sa.URL.create("sqlite", database=str(path))


def _engine(url: sa.URL) -> sa.Engine:
    # A database in memory lives in its one connection, for which threads stand in line.
    one = {} if url.database else {"poolclass": sa.QueuePool, "pool_size": 1, "max_overflow": 0}
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, **one)
    sa.event.listen(engine, "connect", _prepare_connection)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare_connection(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 begins no transaction by itself: _begin does
    for pragma in ("foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: one that had read first could not wait for it, only fail."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _format(connection: sa.Connection, where: str) -> str | None:
    """The format the database is in; None if it is new."""
    tables = sa.inspect(connection).get_table_names()
    if VERSION_TABLE in tables:
        return str(connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")))
    if tables:
        raise GalleryError(f"{where} is another program's database.", hint="Name a gallery, or a new file.")
    return None


def _migrate(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "firstsight.recognition:migrations")
    command.upgrade(config, "head")


@contextmanager
def in_one_sentence(where: str) -> Iterator[None]:
    """Say a failure of the database in the block as ours."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind
        if code not in _FAILURES:
            raise StorageError(f"{where}: {cause}.") from error
        what, hint = _FAILURES[code]
        kind = GalleryError if code == sqlite3.SQLITE_NOTADB else StorageError
        raise kind(f"{where} {what}.", hint=hint) from error
