"""A gallery on a PostgreSQL server, for several machines. Its failures are said in one sentence."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from firstsight.errors import FirstsightError, GalleryError, StorageError
from firstsight.recognition.formats import format_of, migrate
from firstsight.recognition.pgvector import server_search
from firstsight.recognition.schema import FORMAT
from firstsight.recognition.storage import Nearest

BUSY_SECONDS = 10.0  # how long to wait for another program's lock

_CHANNEL = "firstsight_gallery"
_MAKING = 0x46495253  # the advisory lock of whoever makes or migrates a gallery
_AGAIN = "Try again: what was being written is there whole or not at all."
_FAILURES = {
    "55P03": ("is locked by another program", "Try again when it is done, or end it."),
    "53100": ("cannot be written: the server's disk is full", "Free some space and try again."),
    "53300": ("has too many connections already", "Close some, or raise max_connections on the server."),
    "25006": ("cannot be written: this server is a read-only replica", "Name the primary server."),
    "42501": ("may not be used so by this user", "Ask the administrator for the right to make tables."),
    "57P01": ("was stopped by its server", _AGAIN),
    "57P02": ("was stopped by its server", _AGAIN),
    "57P03": ("is not open yet: its server is starting or stopping", _AGAIN),
}
# Transactions that began before this one. While any is open, VACUUM keeps what they might still read.
_OLDER = (
    "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    " AND (datname = current_database() OR datname IS NULL)"
    " AND greatest(age(backend_xid), age(backend_xmin)) >= age(CAST(%s::text AS xid))"
)


class PostgresStorage:
    """The database of a URL; `?search=server` and `?search=hnsw` have the server search. See `Storage`.

    Raises:
        GalleryError: not a gallery, one from a newer firstsight, no such database, a wrong password.
        StorageError: the server cannot be reached.
    """

    erased_from: tuple[str, ...] = ("free space of the tables",)
    left_in: tuple[str, ...] = ("the server's write-ahead log", "its logs, replicas and backups")

    def __init__(self, url: sa.URL) -> None:
        search = url.query.get("search")
        url = url.set(drivername="postgresql+psycopg").difference_update_query(["search"])
        shown = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database)
        self.where = str(shown)
        self._engine = sa.create_engine(
            url, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=_connect_arguments(url)
        )
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._lock = threading.Lock()  # guards the two below
        self._listener: psycopg.Connection | None = None
        self._told: list[psycopg.Notify] = []
        self.nearest: Nearest | None = None
        try:
            self._open()
            if search:
                self.nearest = server_search(self, search)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with _in_one_sentence(self.where), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with _in_one_sentence(self.where), self._engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_milliseconds(BUSY_SECONDS)}")
            yield connection
            connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")  # sent as the transaction is committed

    def changed(self) -> bool:
        """An empty query on the connection that listens: before its answer comes all that was told until then."""
        with self._lock, _in_one_sentence(self.where):
            if self._listener:
                try:
                    self._listener.execute("")
                except psycopg.OperationalError:
                    self._listener.close()
                    self._listener = None
            if not self._listener:
                self._listener = self._listen()
                return True  # nobody knows what was told meanwhile
            told = bool(self._told)
            self._told.clear()
            return told

    def erase(self, *, patient: bool = True) -> None:
        """VACUUM FULL writes tables and indexes anew. A plain VACUUM may leave what it freed as it was."""
        with _in_one_sentence(self.where), self._own_connection() as connection:
            wait = BUSY_SECONDS if patient else 0
            connection.execute(f"SET lock_timeout = {_milliseconds(wait)}")
            self._outlive_older(connection, wait)
            warnings: list[psycopg.errors.Diagnostic] = []
            connection.add_notice_handler(warnings.append)
            for table in ("templates", "identities", "probes", "ledger", "reviews"):
                connection.execute(f"VACUUM (FULL) {table}")
            if warnings:  # all that VACUUM does about a table of somebody else
                raise StorageError(
                    f"the disk of {self.where} still holds it, since this user may not write its tables anew.",
                    hint="Have the tables' owner type VACUUM FULL in psql.",
                )

    def close(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None
        self._engine.dispose()

    def _open(self) -> None:
        with self.reading() as connection:
            found = format_of(connection, self.where)
        if found != FORMAT:
            with self.writing() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
                migrate(connection)

    def _listen(self) -> psycopg.Connection:
        connection = self._own_connection()
        connection.add_notify_handler(self._told.append)
        connection.execute(f"LISTEN {_CHANNEL}")
        return connection

    def _own_connection(self) -> psycopg.Connection:
        """One outside the pool, without transactions, for the caller to close."""
        pooled = self._engine.raw_connection()
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.Connection)
        pooled.detach()
        connection.autocommit = True
        return connection

    def _outlive_older(self, connection: psycopg.Connection, wait: float) -> None:
        ((mine,),) = connection.execute("SELECT CAST(pg_current_xact_id() AS text)")
        give_up = time.monotonic() + wait
        while connection.execute(_OLDER, [mine]).fetchone() != (0,):
            if time.monotonic() > give_up:
                raise StorageError(
                    f"the disk of {self.where} still holds it, since a transaction older than this is open.",
                    hint="When that has ended, type VACUUM FULL in psql: it writes the tables anew.",
                )
            time.sleep(0.05)


def _connect_arguments(url: sa.URL) -> dict[str, object]:
    return {} if "connect_timeout" in url.query else {"connect_timeout": int(BUSY_SECONDS)}


def _milliseconds(seconds: float) -> int:
    return max(1, int(1000 * seconds))  # 0 would be without end


@contextmanager
def _in_one_sentence(where: str) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise _said(where, cause) from error


def _said(where: str, cause: BaseException | None) -> FirstsightError:
    state, text = getattr(cause, "sqlstate", None), str(cause).strip()
    if state in _FAILURES:
        what, hint = _FAILURES[state]
        return StorageError(f"{where} {what}.", hint=hint)
    if state is not None or not isinstance(cause, psycopg.OperationalError):
        return StorageError(f"{where}: {text.splitlines()[0]}.")
    _, connecting, reason = text.splitlines()[0].rpartition(" failed: ")
    if "password" in text:
        return GalleryError(
            f"{where} refuses the password, or none was given.",
            hint="Put it into the environment variable PGPASSWORD, or into ~/.pgpass.",
        )
    if "FATAL:  database" in text:
        return GalleryError(
            f"There is no {where}: its server has no such database.", hint="Check the name, or make it with createdb."
        )
    if "FATAL:  the database system" in text or "FATAL:  terminating" in text:
        return StorageError(f"{where} is not open yet: its server is starting or stopping.", hint=_AGAIN)
    if "FATAL:" in text:
        return GalleryError(f"{where} cannot be opened: {reason.removeprefix('FATAL:').strip()}.", hint="")
    if connecting or "failed to resolve" in text or "timeout" in text:
        return StorageError(
            f"The server of {where} cannot be reached: {reason or text.splitlines()[0]}.",
            hint="Check that it runs, and its address.",
        )
    return StorageError(f"The connection to {where} was lost.", hint=_AGAIN)
