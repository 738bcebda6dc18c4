"""A gallery in SQLite: one file with a write-ahead log, or in memory. Its failures are said in one sentence."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from firstsight.errors import GalleryError, StorageError
from firstsight.recognition.formats import format_of, migrate
from firstsight.recognition.schema import FORMAT

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


class SqliteStorage:
    """The file at `path`, or a database in memory. See `Storage`.

    Raises:
        GalleryError: not a gallery, or one from a newer firstsight.
        StorageError: damaged, locked, read-only, or the disk is full.
    """

    left_in: tuple[str, ...] = ()
    nearest = None

    def __init__(self, path: Path | None) -> None:
        self._url = _file_url(path) if path else sa.URL.create("sqlite")
        self.where = self._url.database or "the gallery in memory"
        self.erased_from: tuple[str, ...] = ("free space of the database", "write-ahead log") if path else ()
        self._engine = _engine(self._url)
        self._path = os.path.abspath(path) if path else None  # should the working folder change
        self._file: os.stat_result | None = None
        self._writer = self._engine.execution_options(writes=True)
        self._watcher: sqlite3.Connection | None = None
        self._seen: int | None = None  # of what the watcher counts
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with in_one_sentence(self.where), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with in_one_sentence(self.where), self._writer.begin() as connection:
            self._require_file()
            yield connection

    def changed(self) -> bool:
        """A connection counts what all others have committed; this one never commits, so it misses nothing."""
        if not self._url.database:
            return True  # in memory there is no other
        with in_one_sentence(self.where):
            if self._watcher is None:
                pooled = self._engine.raw_connection()
                self._watcher = pooled.driver_connection
                pooled.detach()
            assert self._watcher
            ((seen,),) = self._watcher.execute("PRAGMA data_version")
        changed: bool = seen != self._seen
        self._seen = seen
        return changed

    def erase(self, *, patient: bool = True) -> None:
        """Build the database anew from what it holds, and cut the write-ahead log to nothing: it holds what pages held
        before.

        secure_delete is not enough: where SQLite moves a row to another page, a copy of it stays in the gap it leaves.

        Raises:
            StorageError: another program is still reading the log, or the disk is full.
        """
        if not self._url.database:
            return
        self._remove_journal()
        self._outside_transaction("VACUUM", patient=patient)
        busy, *_ = self._outside_transaction("PRAGMA wal_checkpoint(TRUNCATE)", patient=patient)
        if busy:
            raise StorageError(
                f"{self.where}-wal cannot be emptied while another program reads the gallery.",
                hint="End that program: the log is erased as the last one closes the gallery.",
            )

    def close(self) -> None:
        if self._watcher:
            self._watcher.close()
            self._watcher = None
        self._engine.dispose()

    def _open(self) -> None:
        with self.reading() as connection:
            found = format_of(connection, self.where)
            self._require_file()
        if found is None:
            self._keep_log()  # not sooner: the file might have been another program's
        elif self._url.database and self._outside_transaction("PRAGMA journal_mode") != ("wal",):
            with contextlib.suppress(StorageError):  # a backup that was restored; read-only it stays as it is
                self._keep_log()
        if found != FORMAT:
            with self.writing() as connection:
                migrate(connection)

    def _remove_journal(self) -> None:
        """Remove what a restore that was killed at its very end leaves behind: the pages of the gallery before."""
        assert self._path
        journal = journal_of(Path(self._path))
        if journal.exists() and self._outside_transaction("PRAGMA journal_mode") == ("wal",):
            with self.writing():  # so nobody makes one just now: who gives the log up must be alone
                journal.unlink(missing_ok=True)

    def _require_file(self) -> None:
        """Whether the file is still the one that was opened. A writer asks when it has the lock: what is written into
        a file that was removed goes with it, unseen."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            found = os.stat(self._path)
            self._file = self._file or found
            if os.path.samestat(self._file, found):
                return
        raise StorageError(
            f"{self.where} was removed or replaced while it was open: nothing can be written.",
            hint="Put the file back in its place, and start again.",
        )

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

    def _outside_transaction(self, statement: str, *, patient: bool = True) -> tuple[Any, ...]:
        with in_one_sentence(self.where):
            connection = self._engine.raw_connection()
            if not patient:
                connection.detach()  # the others shall wait as they did
                connection.cursor().execute("PRAGMA busy_timeout = 0")
            try:
                row: tuple[Any, ...] = connection.cursor().execute(statement).fetchone() or ()
            finally:
                connection.close()
            return row


def journal_of(path: Path) -> Path:
    """The rollback journal of a database, which one with a write-ahead log has no use for."""
    return path.with_name(f"{path.name}-journal")


def enrolled_in(path: Path) -> int:
    """How many identities the gallery in a file holds, whatever its format and its key: nothing is written.

    Raises:
        GalleryError: no database.
        StorageError: no gallery, damaged, locked or out of reach.
    """
    url = f"{path.absolute().as_uri()}?mode=rw"  # not made; with mode=ro its -wal would stay behind
    with in_one_sentence(str(path)), closing(sqlite3.connect(url, uri=True, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA query_only = ON")
        size: int = connection.execute("SELECT size FROM gallery").fetchone()[0]
    return size


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
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: one that had read first could not wait for it, only fail."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


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
