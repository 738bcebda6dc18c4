"""A gallery as a file to put aside, and back. SQLite alone; the copies are SQLite's own online backup."""

import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from firstsight.atomic import appearing_whole, fresh_folder, remove_leftovers
from firstsight.errors import GalleryError, OtherModel, StorageError
from firstsight.recognition.copies import making_copy
from firstsight.recognition.formats import refuse_newer
from firstsight.recognition.replaced import Remembered, note_restored, remember
from firstsight.recognition.rows import lock
from firstsight.recognition.schema import VERSION_TABLE
from firstsight.recognition.sqlite import BUSY_SECONDS, SqliteStorage, in_one_sentence, journal_of

OnPages = Callable[[int, int], None]
"""Called as on_progress(done, total), in pages of the database."""

Newest = dict[str, tuple[int, int | None]]
"""Of each table how many rows it has, and the number of the last."""

_PAGES = 1024  # copied between two words on the progress
_SIDE_FILES = ("-wal", "-shm", "-journal")


class Restored(NamedTuple):
    """How many identities there are now, and who of them was forgotten after the backup was made."""

    identities: int
    back: tuple[str, ...]


def backup(
    gallery: str | Path, out: Path, *, force: bool = False, on_progress: OnPages = lambda done, total: None
) -> int:
    """Write a whole gallery into one file, as it is at this moment, while others go on using it.

    The file is checked before it appears under its name, which it does whole or not at all; only its owner may read
    it. It is a gallery itself.

    Returns:
        How many identities it holds.

    Raises:
        GalleryError: not a gallery in a file; `out` is there already and `force` does not insist, or is the gallery.
        StorageError: the gallery is damaged, or `out` cannot be written.
    """
    source = file_of(gallery)
    _require_gallery(source)
    if out.exists() and out.samefile(source):
        raise GalleryError(f"{out} is the gallery itself.", hint="Name another file.")
    if out.exists() and not force:
        raise GalleryError(f"{out} is there already.", hint="Name another file, or replace it with --force.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        with (
            closing(SqliteStorage(source)) as storage,
            making_copy(storage, "backup", str(out.resolve())) as made,
            appearing_whole(out) as fresh,
            in_one_sentence(str(out)),
            closing(_opened(source)) as held,
        ):
            held.execute("BEGIN")  # what others write from now on is not seen
            made.newest = held.execute("SELECT coalesce(max(id), 0) FROM identities").fetchone()[0]
            with closing(sqlite3.connect(fresh)) as copy:
                _copy(held, copy, on_progress)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, readable where nothing can be written
                return _checked(copy, source)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}.", hint="Name another place.") from error


def restore(
    file: Path,
    gallery: str | Path,
    *,
    force: bool = False,
    model: str | None = None,
    on_progress: OnPages = lambda done, total: None,
) -> Restored:
    """Put a backup in the place of a gallery: all of it, or nothing where it fails or the power goes.

    No other program may have the gallery open: what it holds in memory would be of another gallery. `model` is the
    identity of the one whose templates the backup must hold, if it holds any. Which copies the gallery knew of is
    remembered.

    Raises:
        GalleryError: not a backup, or of a newer firstsight; the gallery is encrypted, and the backup is not; it holds
            people or a ledger, or is damaged, and `force` does not insist.
        OtherModel: it holds templates of another model than `model`.
        StorageError: the backup is damaged; the gallery is open elsewhere or cannot be written.
    """
    target = file_of(gallery)
    _require_gallery(file)
    if target.exists() and target.samefile(file):
        raise GalleryError(f"{file} is the gallery itself.", hint="Name a backup of it.")
    with in_one_sentence(str(file)), closing(_opened(file)) as source:
        _checked(source, file)
        if model:
            _refuse_other_model(source, file, model)
        before, newest = _remembered(target, force)
        if before.encrypted and not _encrypted(source):
            raise GalleryError(
                f"{file} is in clear, and {target} is encrypted.",
                hint=f"Encrypt the backup first: firstsight gallery encrypt --gallery {file}",
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target)
            with fresh_folder(target, private=True) as beside:
                ready = beside / target.name
                with in_one_sentence(str(target)):
                    restored = _made_ready(source, ready, str(file.resolve()), before)
                with closing(_opened(ready)) as whole:
                    _copy_in(whole, target, newest, on_progress)
            return restored
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror}.", hint="Name another place.") from error


def file_of(gallery: str | Path) -> Path:
    """The file of a gallery.

    Raises:
        GalleryError: it is on a server, or in memory.
    """
    if isinstance(gallery, str) and "://" in gallery:
        kind, _, path = gallery.partition("://")
        if not kind.startswith("sqlite"):
            raise GalleryError(
                f"A gallery on {kind.partition('+')[0]} is backed up and restored by its server.",
                hint="Type: pg_dump --format=custom --file=gallery.dump DATABASE; and to restore it: pg_restore",
            )
        gallery = path.removeprefix("/")
        if gallery in ("", ":memory:"):
            raise GalleryError("A gallery in memory has no file.", hint="Use: firstsight gallery export")
    return Path(gallery).expanduser()


def remove_unused(gallery: Path) -> None:
    """Remove the file of a gallery that holds nothing: nobody, no decision, no calibration. It stays where another
    program has it open."""
    tables = ("identities", "ledger", "operating_points", "copies")
    query = " UNION ALL ".join(f"SELECT * FROM (SELECT 1 FROM {table} LIMIT 1)" for table in tables)
    with contextlib.suppress(sqlite3.Error, OSError), closing(_alone(gallery, patience=0)) as held:
        if held.execute(query).fetchone() is None:
            gallery.unlink()


def _remembered(target: Path, force: bool) -> tuple[Remembered, Newest | None]:
    """What is to outlive the gallery, and what was written last; an older format is brought to this one. What is
    damaged remembers nothing."""
    if not target.exists():
        return Remembered(), {}
    try:
        with closing(SqliteStorage(target)) as storage:
            newest = _newest(target)  # first: what is written from now on is either remembered or noticed
            before = remember(storage)
    except (StorageError, GalleryError) as error:
        if force:
            return Remembered(), None
        raise type(error)(error.message, hint="Put the backup in its place with --force.") from error
    if (before.size or before.entries) and not force:
        raise GalleryError(
            f"{target} holds {before.size} identities, and {before.entries} entries in its ledger.",
            hint="Replace them all with --force.",
        )
    return before, newest


def _newest(target: Path) -> Newest | None:
    """What was written last into each table; None: it is damaged."""
    try:
        with closing(_opened(target)) as held:
            return _newest_in(held)
    except sqlite3.DatabaseError:
        return None


def _newest_in(gallery: sqlite3.Connection) -> Newest:
    tables = [name for (name,) in gallery.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {table: gallery.execute(f'SELECT count(*), max(rowid) FROM "{table}"').fetchone() for table in tables}


def _encrypted(gallery: sqlite3.Connection) -> bool:
    if "key_check" not in {column[1] for column in gallery.execute("PRAGMA table_info(gallery)")}:
        return False  # of a format that knew no keys
    return bool(gallery.execute("SELECT key_check IS NOT NULL FROM gallery").fetchone()[0])


def _refuse_other_model(source: sqlite3.Connection, file: Path, model: str) -> None:
    size, identity, name = source.execute("SELECT size, model_identity, model_name FROM gallery").fetchone()
    if size and identity != model:
        raise OtherModel(
            f"{file} holds templates of the model {name} ({identity[:8]}), and this is the gallery of another "
            f"({model[:8]}).",
            hint=f"Add --model {name}, or restore it into a file of its own with --gallery FILE.",
        )


def _made_ready(source: sqlite3.Connection, ready: Path, path: str, before: Remembered) -> Restored:
    """The backup from `path` as it shall be, in the newest format and with what it is to remember, in a file of its
    own: it takes the gallery's place in one step, and no power cut comes between."""
    with closing(_opened(ready)) as copy:
        _copy(source, copy, lambda done, total: None)
    with closing(SqliteStorage(ready)) as storage, storage.writing() as connection:
        return Restored(lock(connection).size, tuple(note_restored(connection, path, before)))


def _copy_in(source: sqlite3.Connection, target: Path, newest: Newest | None, on_progress: OnPages) -> None:
    """Over the old pages and in one transaction: whoever waits for the file meanwhile finds the new gallery in it.

    Raises:
        StorageError: something was written since `newest` was read, or another program has it open.
    """
    with in_one_sentence(str(target)):
        target.touch()
        try:
            with closing(_alone(target)) as old:
                if newest is not None and _newest_in(old) != newest:
                    raise StorageError(f"{target} was written to meanwhile, and stays as it is.", hint="Try again.")
                _copy(source, old, on_progress)
                old.execute("PRAGMA journal_mode = WAL")
                # the old pages are in it, and SQLite keeps it as long as the lock; nobody else can have made it
                journal_of(target).unlink(missing_ok=True)
            return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
        with appearing_whole(target) as fresh:  # a damaged file has no pages to write over
            with closing(sqlite3.connect(fresh)) as copy:
                _copy(source, copy, on_progress)
            for suffix in _SIDE_FILES:
                target.with_name(target.name + suffix).unlink(missing_ok=True)


def _alone(path: Path, *, patience: float | None = None) -> sqlite3.Connection:
    """A connection that nobody shares: only then does SQLite give the write-ahead log up."""
    connection = _opened(path, patience)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")  # the lock stays
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, on_progress: OnPages) -> None:
    source.backup(target, pages=_PAGES, progress=lambda _status, left, total: on_progress(total - left, total))


def _checked(connection: sqlite3.Connection, where: Path) -> int:
    """Whether every page and row is sound; how many identities there are."""
    if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        raise StorageError(f"{where} is damaged.", hint="Use another backup.")
    size: int = connection.execute("SELECT size FROM gallery").fetchone()[0]
    return size


def _require_gallery(file: Path) -> None:
    if not file.is_file():
        raise GalleryError(f"There is no gallery {file}.", hint="Check the path.")
    with in_one_sentence(str(file)), closing(_opened(file)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if VERSION_TABLE not in names:
            raise GalleryError(f"{file} is no gallery.", hint="Name a gallery, or a backup of one.")
        (found,) = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    refuse_newer(found, str(file))


def _opened(file: Path, patience: float | None = None) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=BUSY_SECONDS if patience is None else patience, isolation_level=None)
